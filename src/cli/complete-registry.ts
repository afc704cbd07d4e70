import { lifecycleOf } from '../flow/lifecycle.ts';
import { localRegistry } from '../flow/registry.ts';
import type { Workspace } from '../flow/workspace.ts';
import { latestName } from '../registry/names.ts';
import type { ModelNames, Registry } from '../registry/registry.ts';

/**
 * What the first argument of a command is: nothing, a model, a version, or a reference, in which an environment
 * or `latest` may stand in place of the version.
 */
export type RegistryArgument = 'none' | 'model' | 'version' | 'reference';

/**
 * Lists what names of the local registry may stand at the end of a command line: models, versions,
 * environments, and names of remotes and metrics for the options that take them.
 * @param words the command line; the last one is being typed
 */
export async function registryNames(
  workspace: Workspace,
  argument: RegistryArgument,
  words: readonly string[],
): Promise<string[]> {
  // Bash takes --env=NAME apart as well.
  const option = (words.at(-2) === '=' ? words.at(-3) : words.at(-2)) ?? '';
  if (option === '--remote') return workspace.config.remotes().map(({ name }) => name);
  const registry = await localRegistry(workspace);
  const all = await registry.names();
  const named = all.filter(({ model }) =>
    words.slice(0, -1).some((word) => word.split('@')[0] === model),
  );
  const isRollback = words.includes('rollback');
  if (['--env', '--from'].includes(option) || (option === '--to' && !isRollback)) {
    const models = named.length > 0 ? named : all;
    const known = models.flatMap(({ environments }) => [...environments.keys()]);
    return [...new Set([...known, ...lifecycleOf(workspace)])].sort();
  }
  if (option === '--to') return named.flatMap(({ versions }) => [...versions]);
  if (option === '--sort') return ['version', 'created', ...(await metricsOf(registry, named))];
  if (argument === 'none' || named.length > 0 || option.startsWith('--')) return [];
  return argument === 'model' ? all.map(({ model }) => model) : versionsOf(registry, all, argument);
}

/** Lists versions that references find, as `model@version`. */
async function versionsOf(
  registry: Registry,
  all: readonly ModelNames[],
  argument: RegistryArgument,
): Promise<string[]> {
  const found: string[] = [];
  for (const names of all) {
    const states = await registry.states(names);
    const versions = [...names.versions].filter((version) => states.get(version) !== 'deleted');
    const others = argument === 'reference' ? [latestName, ...names.environments.keys()] : [];
    found.push(...[...versions, ...others].map((name) => `${names.model}@${name}`));
  }
  return found;
}

async function metricsOf(registry: Registry, all: readonly ModelNames[]): Promise<string[]> {
  const names = new Set<string>();
  for (const { model, versions } of all) {
    for (const { value } of await registry.records(model, [...versions])) {
      for (const name of Object.keys(value.metrics)) names.add(name);
    }
  }
  return [...names].sort();
}
