import { mapConcurrently } from '../base/concurrency.ts';
import type { EnvironmentEntry } from './entry.ts';
import { parseRegistryKey, type RegistryKey } from './keys.ts';
import type { Registry } from './registry.ts';
import type { RegistryConflict } from './sync.ts';

/** Keys that can be copied, and what keeps the others. */
export interface Independent {
  readonly keys: readonly string[];
  readonly conflicts: readonly RegistryConflict[];
}

/**
 * Leaves out the logs and the signatures that speak of a version which is another one in the other place: copied there, they
 * would name what was never meant.
 * @param keys of what `from` alone has
 * @param jobs reads at once
 */
export async function independentOf(
  from: Registry,
  keys: readonly string[],
  conflicts: readonly RegistryConflict[],
  jobs: number,
): Promise<Independent> {
  const contested = new Set(
    conflicts.filter(({ kind }) => kind !== 'history').map(({ model, name }) => `${model}@${name}`),
  );
  if (contested.size === 0) return { keys, conflicts: [] };
  const held = new Map<string, RegistryConflict>();
  await mapConcurrently(keys, jobs, async (key) => {
    const named = parseRegistryKey(key);
    if (named === undefined || named.kind === 'versions') return;
    const { model, name } = named;
    const version =
      named.kind === 'environments'
        ? (await from.entry<EnvironmentEntry>(named, named.number)).value.version
        : name;
    if (!contested.has(`${model}@${version}`)) return;
    const what = named.kind === 'signatures' ? 'A signature' : 'The history';
    const text = `${what} of ${name} of ${model} in ${from.place.location} speaks of ${version}, which is another version in the other place`;
    held.set(logOf(named), { kind: 'history', model, name, text });
  });
  const isFree = (key: string): boolean => {
    const named = parseRegistryKey(key);
    return named === undefined || !held.has(logOf(named));
  };
  return { keys: keys.filter(isFree), conflicts: [...held.values()] };
}

function logOf({ model, kind, name }: RegistryKey): string {
  return `${model} ${kind} ${name}`;
}
