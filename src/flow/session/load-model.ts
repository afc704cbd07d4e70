import * as path from 'node:path';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import type { LoadedModel } from '../../session/loaded-model.ts';
import { type LoadedEvent, tell } from '../../session/model-events.ts';
import { type Config, readConfig } from '../../worktree/config.ts';
import {
  type ResolvedModel,
  type ResolveOptions,
  resolveModel,
  surroundingsOf,
} from '../resolve/resolve.ts';
import { judgeValidated } from '../validate-policy.ts';
import { openWorkspace, workspaceFolderName } from '../workspace.ts';
import { type OpenModelOptions, openModel, readPlaceLabels } from './open-model.ts';
import { versionLabels } from './version-labels.ts';

/** Options of {@link loadModel}: where the model is looked for, and how it is opened. */
export interface LoadModelOptions extends ResolveOptions, OpenModelOptions {}

/** A reference, by default that of `MODEL_REF`, or a model and its version; then options. */
export type ModelArguments<T> =
  | [reference?: string | undefined, options?: T]
  | [model: string, version: string, options?: T];

/**
 * Loads a model to be run: has what the reference names on this machine, verified, and opens it in a runtime.
 * @param args any reference, or a model and a version, an environment or `latest`
 * @throws MstoreError those of {@link resolveModel} and {@link openModel}, `validation-refused`
 */
export async function loadModel(...args: ModelArguments<LoadModelOptions>): Promise<LoadedModel> {
  const { reference, options } = argumentsOf(args);
  const { events } = options;
  const { clock } = surroundingsOf(options);
  const start = clock.monotonic();
  const since = () => clock.monotonic() - start;
  // What the reference means, once that is known: a load that fails behind that is the fault of the version.
  let of: Pick<LoadedEvent, 'reference' | 'model' | 'version'> = { reference: reference ?? '' };
  try {
    const config = await configOf(options);
    const place = await resolveModel(reference, options);
    of = { reference: place.reference, model: place.model, version: place.version };
    const loaded = await open(place, config, options);
    const { file, runtime, bytes } = loaded.info;
    tell(events, 'loaded', { ...of, file, runtime, bytes, milliseconds: since() });
    return loaded;
  } catch (error) {
    tell(events, 'failed', { ...of, phase: 'load', error, milliseconds: since() });
    throw error;
  }
}

function open(
  place: ResolvedModel,
  config: Config,
  options: LoadModelOptions,
): Promise<LoadedModel> {
  const { clock } = surroundingsOf(options);
  return openModel(place, options, {
    clock,
    judge: (file) => [...place.warnings, ...judgeValidated(config, [file])],
  });
}

/**
 * Reads the labels that a classifier tells apart: `id2label` of a `config.json`, else the lines of a `labels.txt`. Of a version
 * that the workspace here knows by its name nothing else is fetched.
 * @returns by number; null where the version has none
 * @throws MstoreError those of {@link resolveModel}
 */
export async function loadLabels(
  ...args: ModelArguments<ResolveOptions>
): Promise<readonly string[] | null> {
  const { reference, options } = argumentsOf(args);
  const { lock, envFile } = options;
  // What stands in a lock file may be another version.
  const isNamed = reference !== undefined && lock === undefined && envFile === undefined;
  const found = isNamed ? await versionLabels(reference, options) : undefined;
  if (found !== undefined) return found.labels;
  return readPlaceLabels(await resolveModel(reference, options), options.signal);
}

/** Reads what was given. */
export function argumentsOf<T extends object>([first, second, third]: ModelArguments<T>): {
  readonly reference: string | undefined;
  readonly options: T;
} {
  if (typeof second !== 'string') return { reference: first, options: second ?? ({} as T) };
  const options = third ?? ({} as T);
  if (first !== undefined && !/[@:]/.test(first))
    return { reference: `${first}@${second}`, options };
  throw new MstoreError('usage', `${JSON.stringify(first)} is no name of a model`, {
    hint: 'Give a model and a version, or one reference alone',
  });
}

/** The configuration of the workspace here; where there is none, that of the environment. */
async function configOf(options: ResolveOptions): Promise<Config> {
  const cwd = path.resolve(options.cwd ?? '.');
  const surroundings = surroundingsOf(options);
  try {
    return (await openWorkspace(cwd, surroundings)).config;
  } catch (error) {
    if (!isMstoreError(error, 'no-workspace')) throw error;
    return readConfig(path.join(cwd, workspaceFolderName), surroundings.env);
  }
}
