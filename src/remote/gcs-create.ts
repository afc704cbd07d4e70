import { isMstoreError, MstoreError } from '../base/errors.ts';
import { crcText, type GcsPlace, loadCrc32c, type ObjectResource } from './gcs-client.ts';
import { notGcsAnswer } from './gcs-errors.ts';
import { type GcsPart, GcsUpload } from './gcs-upload.ts';
import { checkKey } from './keys.ts';
import type { RemoteCallOptions, RemoteSource } from './remote.ts';
import { answerStatus } from './service-errors.ts';
import { cut, readSource, sendWhole } from './source.ts';
import {
  mayBeDone,
  type UnclearWrites,
  underNumber,
  type WriteNumber,
  writeName,
} from './unclear-writes.ts';

/** What is asked about an object that was written. */
const resourceFields = 'generation,size,crc32c,metadata';

/** One write of one object, which all its requests share. */
interface GcsWrite extends WriteNumber {
  readonly key: string;
  /** What to say of a failure. */
  readonly attempt: string;
  readonly options: RemoteCallOptions | undefined;
}

/**
 * Creates an object on the condition that it has no generation, in one request or in parts. Where no clear
 * answer came, the object is asked who made it; when it is not there either, the failure is thrown, and
 * the next try with the same source knows its own work again.
 */
export async function createGcsObject(
  gcs: GcsPlace,
  unclear: UnclearWrites,
  key: string,
  source: RemoteSource,
  options: RemoteCallOptions | undefined,
): Promise<'created' | 'exists'> {
  checkKey(key);
  return underNumber(unclear, source, key, gcs.options.random, (number) => {
    const write: GcsWrite = { key, attempt: `write ${key} to`, options, ...number };
    return source.size > gcs.partBytes
      ? createInParts(gcs, write, source)
      : createAtOnce(gcs, write, source);
  });
}

function createAtOnce(
  gcs: GcsPlace,
  write: GcsWrite,
  source: RemoteSource,
): Promise<'created' | 'exists'> {
  return sendWhole(gcs.memory, write.key, source, write.options?.signal, (bytes) =>
    postAtOnce(gcs, write, bytes),
  );
}

/** Sends a whole object in one request. */
async function postAtOnce(
  gcs: GcsPlace,
  write: GcsWrite,
  bytes: Uint8Array,
): Promise<'created' | 'exists'> {
  const crc32c = crcText((await loadCrc32c())(bytes, 0));
  // Drawn by chance, so that nobody can have written it into the bytes.
  const boundary = gcs.options.random.hex(16);
  const head = (type: string) => `--${boundary}\r\ncontent-type: ${type}\r\n\r\n`;
  const resource = JSON.stringify({ ...storedAs(gcs, write), crc32c });
  return settled(gcs, write, { crc32c, size: bytes.length }, () =>
    gcs.json<ObjectResource>(write.attempt, write.options, {
      ...newObject(gcs, write, 'multipart'),
      headers: { 'content-type': `multipart/related; boundary=${boundary}` },
      body: [
        Buffer.from(`${head('application/json')}${resource}\r\n${head(contentType)}`),
        bytes,
        Buffer.from(`\r\n--${boundary}--\r\n`),
      ],
    }),
  );
}

const contentType = 'application/octet-stream';

/** What an object carries beside its bytes. */
function storedAs(gcs: GcsPlace, { number }: GcsWrite) {
  const storageClass = gcs.options.settings?.storageClass;
  return {
    contentType,
    metadata: { [writeName]: number },
    ...(storageClass === undefined ? {} : { storageClass }),
  };
}

/** The call that asks for a new object, on the condition that its name is free. */
function newObject(gcs: GcsPlace, { key }: GcsWrite, uploadType: 'multipart' | 'resumable') {
  const query = {
    uploadType,
    name: gcs.place.prefix + key,
    ifGenerationMatch: '0',
    kmsKeyName: gcs.options.settings?.encryptionKey,
    fields: resourceFields,
  };
  return { method: 'POST', path: `/upload${gcs.objectsPath}`, query } as const;
}

/** A whole object, as it is to arrive. */
interface Whole {
  /** Bytes. */
  readonly size: number;
  /** Base64; undefined as long as it is not known. */
  readonly crc32c?: string;
}

/** Does the request that makes the object appear, and finds out what came of it. */
async function settled(
  gcs: GcsPlace,
  write: GcsWrite,
  whole: Whole,
  send: () => Promise<Partial<ObjectResource> | undefined>,
): Promise<'created' | 'exists'> {
  try {
    return created(gcs, write, whole, await send());
  } catch (error) {
    const taken = answerStatus(error) === 412;
    if (taken && !write.repeated) return 'exists';
    if (!taken && !(isMstoreError(error, 'remote-unreachable') && mayBeDone(error))) throw error;
    const found = await findObject(gcs, write).catch((failure: unknown) => {
      throw taken ? failure : error;
    });
    if (isOwn(found, write)) return created(gcs, write, whole, found);
    if (taken) return 'exists';
    throw error;
  }
}

/** Makes sure that what the service says it keeps is what was sent. */
function created(
  gcs: GcsPlace,
  { attempt, key }: GcsWrite,
  { size, crc32c }: Whole,
  resource: Partial<ObjectResource> | undefined,
): 'created' {
  if (resource?.generation === undefined) throw notGcsAnswer(attempt, gcs.location);
  const sameSum = crc32c === undefined || (resource.crc32c ?? crc32c) === crc32c;
  if (sameSum && (resource.size ?? String(size)) === String(size)) return 'created';
  throw new MstoreError(
    'corrupt-remote',
    `Cannot ${attempt} the remote ${gcs.location}: the service keeps other bytes than were sent`,
    {
      hint: 'Delete the object there, then push again; a service that checks no checksums is not safe',
      details: { key, expected: crc32c, found: resource.crc32c, size: resource.size },
    },
  );
}

/** Asks for what is known of an object; undefined when there is none. */
function findObject(
  gcs: GcsPlace,
  { key, attempt, options }: GcsWrite,
): Promise<Partial<ObjectResource> | undefined> {
  return gcs.resource(attempt, options, key, resourceFields);
}

/** Tells whether an object was made by this write, or an earlier try of it. */
function isOwn(found: Partial<ObjectResource> | undefined, { number }: GcsWrite): boolean {
  return found?.metadata?.[writeName] === number;
}

async function createInParts(
  gcs: GcsPlace,
  write: GcsWrite,
  source: RemoteSource,
): Promise<'created' | 'exists'> {
  // Sending hundreds of megabytes to learn that they are there would be a waste.
  const found = await findObject(gcs, write);
  if (found !== undefined) {
    return write.repeated && isOwn(found, write) ? created(gcs, write, source, found) : 'exists';
  }
  return uploadInParts(gcs, write, source);
}

/** Creates an object in parts, whether it is there or not. */
export async function uploadInParts(
  gcs: GcsPlace,
  write: GcsWrite,
  source: RemoteSource,
): Promise<'created' | 'exists'> {
  const upload = await beginUpload(gcs, write, source.size);
  if (upload === undefined) return 'exists';
  let outcome: 'created' | 'exists' | undefined;
  try {
    outcome = await sendParts(gcs, write, source, upload);
    return outcome;
  } finally {
    if (outcome !== 'created') await upload.end();
  }
}

/** Begins an upload; undefined when another writer was faster. */
export async function beginUpload(
  gcs: GcsPlace,
  write: GcsWrite,
  size: number,
): Promise<GcsUpload | undefined> {
  const call = {
    ...newObject(gcs, write, 'resumable'),
    headers: {
      'content-type': 'application/json',
      'x-upload-content-type': contentType,
      'x-upload-content-length': String(size),
    },
    body: [Buffer.from(JSON.stringify(storedAs(gcs, write)))],
  };
  try {
    return await gcs.call(write.attempt, write.options, call, (begun) =>
      GcsUpload.at(gcs, write.attempt, begun, size),
    );
  } catch (error) {
    if (answerStatus(error) === 412) return undefined;
    throw error;
  }
}

/** Sends a source part by part; the next part is gathered while one is under way. */
async function sendParts(
  gcs: GcsPlace,
  write: GcsWrite,
  source: RemoteSource,
  upload: GcsUpload,
): Promise<'created' | 'exists'> {
  const count = await loadCrc32c();
  const { memory, partBytes: size } = gcs;
  const { size: total } = source;
  // A source that fails ends the part that is under way.
  const stop = new AbortController();
  const outer = write.options?.signal;
  const signal = outer === undefined ? stop.signal : AbortSignal.any([outer, stop.signal]);
  const send = async (part: GcsPart, before: Promise<unknown>) => {
    let arrived = false;
    try {
      await before;
      const made = await upload.send(part, { ...write.options, signal });
      arrived = true;
      return made;
    } finally {
      memory.give(part.bytes, arrived);
    }
  };
  let underWay: Promise<Partial<ObjectResource> | undefined> = Promise.resolve(undefined);
  let start = 0;
  let sum = 0;
  try {
    const blocks = readSource(write.key, source, outer);
    for await (const bytes of cut(blocks, { total, size, memory, signal })) {
      sum = count(bytes, sum);
      const before = underWay;
      const isLast = start + bytes.length === total;
      underWay = send({ bytes, start, ...(isLast ? { crc32c: crcText(sum) } : {}) }, before);
      // It is awaited with the next part, and not at all when the source fails meanwhile.
      underWay.catch(() => {});
      start += bytes.length;
      await before;
    }
    const whole = { size: total, crc32c: crcText(sum) };
    // Parts are tried again unseen, so that "taken" may be by this very upload.
    return await settled(gcs, { ...write, repeated: true }, whole, () => underWay);
  } finally {
    stop.abort();
    await underWay.catch(() => {});
  }
}
