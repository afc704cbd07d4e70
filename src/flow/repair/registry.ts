import { type Digest, isDigest } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { isJsonObject, parseJsonBytes } from '../../base/json.ts';
import { type EnvironmentEntry, type LogEntry, parseEntry } from '../../registry/entry.ts';
import {
  bytesMaxOf,
  entryKey,
  isLogKey,
  type LogName,
  parseRegistryKey,
} from '../../registry/keys.ts';
import { parseRecord } from '../../registry/record.ts';
import { environmentLog, type Registry } from '../../registry/registry.ts';
import { checkSignatureObject, isSealed, type Sealed } from '../../registry/sealed.ts';
import {
  bytesSource,
  type RemoteCallOptions,
  type RemotePruner,
  type RemoteReader,
  readObject,
} from '../../remote/remote.ts';
import { isRemoteFailure } from '../fetch-receive.ts';
import type { FindingNote } from '../verify/findings.ts';
import { isObjectFault } from '../verify/packs.ts';
import type { NearLog } from './near.ts';

/** A registry from which objects may be taken. */
export interface RegistrySource {
  readonly name: string;
  readonly objects: RemoteReader;
}

/** Options of {@link repairRegistry}. */
export interface RegistryRepairOptions extends RemoteCallOptions {
  readonly log: NearLog;
}

/** An object of a registry that is whole. */
interface GoodObject {
  readonly bytes: Buffer;
  readonly sealed: Sealed<object>;
}

/**
 * Puts objects of a registry in the place of those that are damaged or missing, from other registries. One is taken
 * only when its digest is what something here says it must be: an entry that names it, the entry behind it, or what
 * is left of the damaged object. Where there is nothing at all any more, or the object of another place, it is taken
 * as `fetch` would.
 */
export async function repairRegistry(
  registry: Registry,
  objects: RemotePruner,
  sources: readonly RegistrySource[],
  notes: readonly FindingNote[],
  { log, ...call }: RegistryRepairOptions,
): Promise<void> {
  const asked = new Set(sources);
  for (const note of notes) {
    const key = note.key ?? '';
    if (parseRegistryKey(key) === undefined) continue;
    const there = await read(objects, key);
    const wanted = await digestsOf(registry, key, there);
    for (const source of asked) {
      let good: GoodObject | undefined;
      try {
        good = await readGood(source.objects, key);
      } catch (error) {
        if (!isRemoteFailure(error)) throw error;
        log.failed(source.name, error.message);
        asked.delete(source);
      }
      if (good === undefined || (wanted !== undefined && !wanted.has(good.sealed.sha256))) continue;
      if (there !== undefined && sealedIn(key, there)?.sha256 === good.sealed.sha256) break;
      if (!(await follows(registry, key, good))) continue;
      await objects.delete(key, call);
      await objects.create(key, bytesSource(good.bytes), call);
      log.healed(source.name, 0);
      note.repair = `The object was taken from ${source.name}`;
      break;
    }
  }
}

async function read(objects: RemoteReader, key: string): Promise<Buffer | undefined> {
  try {
    return await readObject(objects, key, bytesMaxOf(key));
  } catch (error) {
    if (isMstoreError(error, 'not-found')) return undefined;
    if (isObjectFault(error)) return Buffer.alloc(0);
    throw error;
  }
}

async function readGood(objects: RemoteReader, key: string): Promise<GoodObject | undefined> {
  const bytes = await read(objects, key);
  const sealed = bytes && sealedIn(key, bytes);
  return bytes && sealed && { bytes, sealed };
}

/** Parses an object of a registry; undefined when it is damaged. */
function sealedIn(key: string, bytes: Buffer): Sealed<object> | undefined {
  const named = parseRegistryKey(key);
  try {
    if (named === undefined) return undefined;
    if (isLogKey(named)) return parseEntry(bytes, key, named, named.number);
    if (named.kind === 'signatures') {
      checkSignatureObject(bytes, key, named.sha256);
      return { sha256: named.sha256, value: {} };
    }
    return parseRecord(bytes, key, { model: named.model, version: named.name });
  } catch (error) {
    if (isMstoreError(error, 'corrupt-registry')) return undefined;
    throw error;
  }
}

/**
 * Returns the digests that an object may have by what is whole here; undefined where it is missing and nothing
 * speaks of it.
 */
async function digestsOf(
  registry: Registry,
  key: string,
  there: Buffer | undefined,
): Promise<ReadonlySet<Digest> | undefined> {
  const named = parseRegistryKey(key);
  const digests = new Set<Digest>();
  if (named?.kind === 'versions') {
    for await (const { value } of liveEntries(registry, named.model)) {
      if (value.version === named.name) digests.add(value.record);
    }
  } else if (named?.kind === 'signatures') {
    digests.add(named.sha256);
  } else if (named !== undefined) {
    const next = await entryAt(registry, named, named.number + 1);
    if (next?.value.previous) digests.add(next.value.previous);
  }
  if (digests.size > 0) return digests;
  // A whole object of another place says nothing of the one that belongs here.
  if (there === undefined || (isSealed(there) && sealedIn(key, there) === undefined)) {
    return undefined;
  }
  const own = ownDigest(there);
  return own === undefined ? digests : new Set([own]);
}

/** The digest that a damaged object still carries. */
function ownDigest(bytes: Buffer): Digest | undefined {
  try {
    const value = parseJsonBytes(bytes);
    const digest = isJsonObject(value) ? value['sha256'] : undefined;
    return isDigest(digest) ? digest : undefined;
  } catch {
    const [, digest] = /"sha256": ?"([0-9a-f]{64})"/.exec(bytes.toString('latin1')) ?? [];
    return isDigest(digest) ? digest : undefined;
  }
}

async function* liveEntries(
  registry: Registry,
  model: string,
): AsyncGenerator<Sealed<EnvironmentEntry>, void, void> {
  const [names] = await registry.names(model);
  for (const [environment, last] of names?.environments ?? []) {
    for (let number = 1; number <= last; number++) {
      const entry = await entryAt(registry, environmentLog(model, environment), number);
      if (entry !== undefined) yield entry as Sealed<EnvironmentEntry>;
    }
  }
}

/** Reads an entry of a log; undefined when it is missing or damaged. */
async function entryAt(
  registry: Registry,
  log: LogName,
  number: number,
): Promise<Sealed<LogEntry> | undefined> {
  const good = await readGood(registry.place, entryKey(log, number));
  return good?.sealed as Sealed<LogEntry> | undefined;
}

/** Tells whether an entry follows the one before it here, as far as that is whole. */
async function follows(registry: Registry, key: string, { sealed }: GoodObject): Promise<boolean> {
  const named = parseRegistryKey(key);
  if (named === undefined || !isLogKey(named) || named.number === 1) return true;
  const before = await entryAt(registry, named, named.number - 1);
  return before === undefined || before.sha256 === (sealed.value as LogEntry).previous;
}
