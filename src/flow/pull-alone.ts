import * as fs from 'node:fs';
import * as path from 'node:path';
import { clearDeadTemps } from '../base/dead-temps.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../base/errors.ts';
import { ensureFolder, tempName } from '../base/files.ts';
import { printable } from '../base/names.ts';
import type { FoundVersion } from '../registry/find.ts';
import { parseReference, type Reference } from '../registry/reference.ts';
import type { RemoteCallOptions } from '../remote/remote.ts';
import { linkKindsOf } from './checkout.ts';
import { type CheckoutToOptions, type CheckoutToResult, checkoutTo } from './checkout-to.ts';
import { type FetchResult, fetch } from './fetch.ts';
import { isRemoteFailure } from './fetch-receive.ts';
import type { RegistryFailure } from './fetch-registry.ts';
import { findByWord } from './find-by-word.ts';
import { remoteRegistry } from './registry.ts';
import type { ChooseOptions, ChosenRemote } from './remotes.ts';
import { chooseFetchRemotes, type RemoteChoice } from './several-remotes.ts';
import type { Surroundings } from './surroundings.ts';
import { findTrusted } from './trust/policy.ts';
import { contentOf, withFileLists } from './version-content.ts';
import { checkDestination } from './whole-directory.ts';
import { plainWorkspace, type Workspace } from './workspace.ts';

/** What {@link pullAlone} is to bring, from where, to where. */
export interface AlonePull {
  /** `MODEL@NAME`, or a name alone where the remote has one model. */
  readonly reference: string;
  /** Names, URLs or directories of remotes; none for those that the environment names. */
  readonly remotes: readonly string[];
  /** Absolute path of the directory to write. */
  readonly directory: string;
  /** Absolute folder that relative paths start from. */
  readonly cwd: string;
  /** How the remotes are opened. */
  readonly choose?: ChooseOptions;
}

/** What {@link pullAlone} did. */
export interface AlonePullResult {
  readonly found: FoundVersion;
  readonly fetched: FetchResult;
  readonly written: CheckoutToResult;
  /** Remotes that could not be asked which version is meant, before one could. */
  readonly failures: readonly RegistryFailure[];
}

/**
 * Brings a version of a model from a remote into a directory, with no workspace, no Git and no configuration
 * but the environment's. The registry is read where it is. What is fetched lies in a folder beside the
 * directory until the files are written, or in the store that the environment names (`MSTORE_STORE_PATH`), where
 * it stays for the next time.
 * @throws MstoreError `destination-exists` before anything is fetched, `unknown-model`, `unknown-version`, `usage`
 */
export async function pullAlone(
  { reference, remotes, directory, cwd, choose }: AlonePull,
  surroundings: Surroundings,
  options: CheckoutToOptions = {},
): Promise<AlonePullResult> {
  const parsed = parseReference(reference);
  checkDestination(directory, options.force ?? false);
  return withWorkspaceBeside(directory, surroundings, async (workspace) => {
    refuseLinksIntoIt(workspace, options);
    const choices = await chooseFetchRemotes(workspace, remotes, cwd, choose);
    const { found, failures } = await findOnRemotes(workspace, choices, parsed, reference, options);
    const content = contentOf(workspace.store, found.record.value, {});
    const fetched = await fetch(workspace, [content], choices, options);
    const whole = withFileLists(workspace.store, content);
    const written = await checkoutTo(workspace, [whole], directory, options);
    return { found, fetched, written, failures };
  });
}

/** Runs work with a workspace in a folder beside a directory, and removes that folder. */
async function withWorkspaceBeside<T>(
  directory: string,
  surroundings: Surroundings,
  work: (workspace: Workspace) => Promise<T>,
): Promise<T> {
  const parent = path.dirname(directory);
  // As checkout names what it builds there, so that each clears what the other left when it was killed.
  const prefix = `.${path.basename(directory).slice(0, 64)}.`;
  const root = path.join(parent, prefix + tempName());
  try {
    ensureFolder(parent);
    clearDeadTemps(parent, prefix, surroundings.clock);
    fs.mkdirSync(root);
  } catch (error) {
    throw fromSystemError(error, `making a folder in ${printable(parent)}`);
  }
  try {
    return await work(plainWorkspace(fs.realpathSync(root), surroundings));
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}

/** Links into a store that is removed at the end would lead nowhere. */
function refuseLinksIntoIt(workspace: Workspace, { link }: CheckoutToOptions): void {
  const isKept = workspace.config.string('store.path') !== undefined;
  if (isKept || !linkKindsOf(workspace, link).includes('symlink')) return;
  throw new MstoreError('usage', 'Without a workspace no store is kept that links could lead to', {
    hint: 'Use --link reflink,copy, or name a store that is kept in MSTORE_STORE_PATH',
  });
}

/**
 * Finds a version in the registry of the first remote that answers and has its model.
 * @throws MstoreError `unknown-model`, `unknown-version`, `unknown-ref`, or why the first remote could not be asked
 */
export async function findOnRemotes(
  workspace: Workspace,
  choices: readonly RemoteChoice[],
  reference: Reference,
  text: string,
  options: RemoteCallOptions,
): Promise<{ found: FoundVersion; failures: RegistryFailure[] }> {
  return askInTurn(choices, (choice) => findIn(workspace, choice, reference, text, options));
}

/**
 * Asks remotes one after the other until one answers and has the model that is asked for.
 * @throws MstoreError `unknown-model`, or why the first remote could not be asked, where none does
 */
export async function askInTurn<T>(
  choices: readonly RemoteChoice[],
  ask: (choice: ChosenRemote) => Promise<T>,
): Promise<{ found: T; failures: RegistryFailure[] }> {
  const failures: RegistryFailure[] = [];
  let unknown: MstoreError | undefined;
  for (const choice of choices) {
    try {
      if ('error' in choice) throw choice.error;
      return { found: await ask(choice), failures };
    } catch (error) {
      if (isMstoreError(error, 'unknown-model')) unknown ??= error;
      else if (isRemoteFailure(error)) failures.push({ remote: choice.name, error });
      else throw error;
    }
  }
  throw unknown ?? failures[0]?.error;
}

async function findIn(
  workspace: Workspace,
  choice: ChosenRemote,
  reference: Reference,
  text: string,
  { signal }: RemoteCallOptions,
): Promise<FoundVersion> {
  const registry = remoteRegistry(choice, { signal });
  if (reference.kind === 'model') {
    const { model, selector } = reference;
    const remotes = async () => [choice];
    return findTrusted(workspace, registry, model, selector, { signal, remotes });
  }
  const found =
    reference.kind === 'word' ? await findByWord(workspace, registry, reference.word) : undefined;
  if (found !== undefined) return found;
  throw new MstoreError(
    'unknown-ref',
    `${printable(text)} names no version of a model on ${choice.remote.location}`,
    {
      hint: 'Write MODEL@VERSION or MODEL@ENVIRONMENT; anything else needs a workspace ("mstore init")',
      details: { ref: text },
    },
  );
}
