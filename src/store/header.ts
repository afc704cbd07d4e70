import type { Clock, Random } from '../base/clock.ts';
import { MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { chunkRuleName, formatChunkParams } from '../chunk/chunker.ts';
import { hardCutRules } from '../weights/hard-cuts.ts';

/** The format of stores, remotes and pointers that this version reads and writes. */
const formatVersion = 1;

/** What `mstore.json` says about a store or a remote. */
export interface StoreHeader {
  /** 32 hexadecimal digits, made once: tells two places apart whatever they are called. */
  readonly id: string;
}

/**
 * The bytes of the header of a new store or remote.
 * @param encryption what an encrypted remote says of its key
 */
export function formatHeader(clock: Clock, random: Random, encryption?: JsonObject): Buffer {
  const header = {
    mstore: formatVersion,
    id: random.hex(16),
    created: new Date(clock.now()).toISOString(),
    chunking: { rule: chunkRuleName, ...formatChunkParams, cuts: hardCutRules },
    ...(encryption === undefined ? {} : { encryption }),
  };
  return Buffer.from(`${JSON.stringify(header, null, 2)}\n`);
}

/** Of a local store nothing but the format is read there, and the next writer makes it anew. */
const healedBy =
  'Remove that file; what stores something next writes it anew, and the packs beside it are unharmed';

/**
 * Parses a header. Chunking parameters other than ours are no fault: names do not depend on cuts.
 * @param where names the place in errors
 * @throws MstoreError `newer-format`, or `corrupt-store`
 */
export function parseHeader(bytes: Uint8Array, where: string): StoreHeader {
  let value: unknown;
  try {
    value = parseJsonBytes(bytes);
  } catch {
    value = undefined;
  }
  if (!isJsonObject(value) || !Number.isInteger(value['mstore'])) {
    throw new MstoreError('corrupt-store', `${where}/mstore.json is no header of an mstore store`, {
      hint: healedBy,
      details: { where },
    });
  }
  const version = value['mstore'] as number;
  if (version > formatVersion || 'encryption' in value) {
    const what = version > formatVersion ? `format ${version}` : 'encryption';
    throw new MstoreError('newer-format', `${where} uses ${what}, which this mstore cannot read`, {
      hint: 'Install a newer mstore',
      details: { where, format: version },
    });
  }
  const id = value['id'];
  if (version < 1 || typeof id !== 'string' || !/^[0-9a-f]{32}$/.test(id)) {
    throw new MstoreError('corrupt-store', `${where}/mstore.json has no valid format and id`, {
      hint: healedBy,
      details: { where },
    });
  }
  return { id };
}
