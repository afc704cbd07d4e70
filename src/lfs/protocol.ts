import { type Digest, isDigest } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { printable } from '../base/names.ts';

/** A line longer than this is none of Git LFS: paths have 4 KiB at most, and are escaped at worst sixfold. */
export const requestBytesMax = 64 * 1024;

/** What Git LFS asks an agent for. */
export type LfsRequest =
  | {
      readonly event: 'init';
      readonly operation: 'upload' | 'download';
      /** Name or URL of the remote of Git. */
      readonly remote: string;
      /** Whether there are several processes like this one. */
      readonly concurrent: boolean;
      /** How many there are at most. */
      readonly processes: number;
    }
  | {
      readonly event: 'upload';
      readonly oid: Digest;
      readonly size: number;
      readonly path: string;
    }
  | { readonly event: 'download'; readonly oid: Digest; readonly size: number }
  | { readonly event: 'terminate' }
  /** A transfer that names something which cannot be; it has an answer, and the others go on. */
  | { readonly event: 'refused'; readonly oid: string; readonly why: string };

/** How an agent tells of a failure. */
export interface LfsFailure {
  /** Git LFS shows it, and makes nothing of it. */
  readonly code: number;
  readonly message: string;
}

/** What an agent answers. */
export type LfsReply =
  | { readonly error?: LfsFailure }
  | {
      readonly event: 'progress';
      readonly oid: string;
      readonly bytesSoFar: number;
      readonly bytesSinceLast: number;
    }
  | {
      readonly event: 'complete';
      readonly oid: string;
      readonly path?: string;
      readonly error?: LfsFailure;
    };

const processesMax = 1024;

/**
 * Reads a request. Fields that are not known are passed over.
 * @throws MstoreError `usage` for what no transfer can be answered for: whoever sends it is not Git LFS
 */
export function parseLfsRequest(line: Uint8Array): LfsRequest {
  let value: unknown;
  try {
    value = parseJsonBytes(line);
  } catch (error) {
    throw notLfs('a line that is no JSON', error);
  }
  if (!isJsonObject(value)) throw notLfs('a line that is no JSON object');
  switch (value['event']) {
    case 'init':
      return initOf(value);
    case 'upload':
    case 'download':
      return transferOf(value['event'], value);
    case 'terminate':
      return { event: 'terminate' };
    default: {
      const event = typeof value['event'] === 'string' ? printable(value['event']) : 'no event';
      throw notLfs(`a request that is not known: ${event.slice(0, 64)}`);
    }
  }
}

function initOf({ operation, remote, ...rest }: JsonObject): LfsRequest {
  if (operation !== 'upload' && operation !== 'download') {
    throw notLfs('an operation that is neither upload nor download');
  }
  const { concurrent, concurrenttransfers: count } = rest;
  const processes =
    typeof count === 'number' && Number.isSafeInteger(count)
      ? Math.min(Math.max(1, count), processesMax)
      : 1;
  return {
    event: 'init',
    operation,
    remote: typeof remote === 'string' ? remote : '',
    concurrent: concurrent === true,
    processes: concurrent === true ? processes : 1,
  };
}

function transferOf(event: 'upload' | 'download', request: JsonObject): LfsRequest {
  const { oid, size, path } = request;
  if (typeof oid !== 'string') throw notLfs(`${event} without an oid`);
  const refused = (why: string): LfsRequest => ({ event: 'refused', oid, why });
  if (!isDigest(oid)) return refused(`${printable(oid.slice(0, 80))} is no SHA-256 digest`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    return refused('its size is no number of bytes');
  }
  if (event === 'download') return { event, oid, size };
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    return refused('the path of its file is missing');
  }
  return { event, oid, size, path };
}

/** Writes a reply as one line. */
export function formatLfsReply(reply: LfsReply): Buffer {
  return Buffer.from(`${JSON.stringify(reply)}\n`);
}

/**
 * Cuts what comes into lines, each without its end; what is behind the last end is a line too. Memory: one line.
 * @throws MstoreError `usage` for a line that is longer than any of Git LFS
 */
export async function* requestLines(
  input: AsyncIterable<Uint8Array>,
): AsyncGenerator<Buffer, void, undefined> {
  let parts: Buffer[] = [];
  let held = 0;
  const take = (part: Buffer): void => {
    held += part.length;
    if (held > requestBytesMax) throw notLfs(`a line of more than ${requestBytesMax} bytes`);
    parts.push(part);
  };
  for await (const block of input) {
    const bytes = Buffer.from(block);
    let start = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
      take(bytes.subarray(start, end));
      if (held > 0) yield Buffer.concat(parts);
      parts = [];
      held = 0;
      start = end + 1;
    }
    take(bytes.subarray(start));
  }
  if (held > 0) yield Buffer.concat(parts);
}

function notLfs(what: string, cause?: unknown): MstoreError {
  return new MstoreError('usage', `Standard input holds ${what}`, {
    hint: 'This command is started by Git LFS; set it up with "mstore lfs install"',
    cause,
  });
}
