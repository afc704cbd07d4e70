import { isMstoreError } from '../base/errors.ts';
import type { FoundVersion } from '../registry/find.ts';
import { latestName, registryNameProblem } from '../registry/names.ts';
import type { Registry } from '../registry/registry.ts';
import { findTrusted } from './trust/policy.ts';
import type { Workspace } from './workspace.ts';

/** The model that is meant where none is named: that of `core.model`, else the only one. */
export async function impliedModel(
  { config }: Workspace,
  registry: Registry,
): Promise<string | undefined> {
  const configured = config.string('core.model');
  if (configured !== undefined) return configured;
  const models = await registry.names();
  return models.length === 1 ? models[0]?.model : undefined;
}

/** Finds the version that a word stands for: a version, an environment or `latest` of the implied model. */
export async function findByWord(
  workspace: Workspace,
  registry: Registry,
  word: string,
): Promise<FoundVersion | undefined> {
  if (!isSelector(word)) return undefined;
  const model = await impliedModel(workspace, registry);
  if (model === undefined) return undefined;
  try {
    return await findTrusted(workspace, registry, model, word);
  } catch (error) {
    if (isMstoreError(error, 'unknown-model', 'unknown-version')) return undefined;
    throw error;
  }
}

/** Tells whether a word may stand behind the @ of a reference. */
export function isSelector(word: string): boolean {
  return word === latestName || registryNameProblem('version', word) === undefined;
}
