import { mapConcurrently } from '../base/concurrency.ts';
import { compareUtf8 } from '../base/json.ts';
import type { EnvironmentEntry } from '../registry/entry.ts';
import { environmentLog, type Registry } from '../registry/registry.ts';

/** Entries read at once. */
const readsAtOnce = 16;

/** What is live in an environment, and the entry that made it so. */
export interface LiveEnvironment
  extends Pick<
    EnvironmentEntry,
    'environment' | 'version' | 'number' | 'action' | 'by' | 'reason' | 'from' | 'forced' | 'gate'
  > {
  /** When it became live, as ISO 8601 in UTC. */
  readonly since: string;
}

/**
 * Reads what is live in each environment of a model, sorted by environment. Keys of entries that this program does not
 * know are kept.
 * @throws MstoreError `unknown-model`, `corrupt-registry`
 */
export async function readEnvironments(
  registry: Registry,
  model: string,
): Promise<LiveEnvironment[]> {
  const { environments } = await registry.namesOf(model);
  const found: LiveEnvironment[] = [];
  await mapConcurrently([...environments], readsAtOnce, async ([name, number]) => {
    const log = environmentLog(model, name);
    const { value } = await registry.entry<EnvironmentEntry>(log, number);
    const { model: _, previous: __, record: ___, at, ...facts } = value;
    found.push({ ...facts, since: at });
  });
  return found.sort((a, b) => compareUtf8(a.environment, b.environment));
}
