import { MstoreError } from '../base/errors.ts';

/** One object of a remote, as a listing names it. */
export interface RemoteObject {
  /** Full key, `/`-separated. */
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /**
   * When it was created, by the clock of the place itself, in milliseconds since 1970-01-01 UTC; undefined
   * where the place does not tell. Times of one place can be compared with each other, and with no others.
   */
  readonly time?: number | undefined;
}

/** A half-open range of an object, in bytes. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Options of all calls. */
export interface RemoteCallOptions {
  /** Ends the call early with the `interrupted` error. What the call was writing does not appear. */
  readonly signal?: AbortSignal | undefined;
  /** Most requests under way at once while this call is; a service may be given fewer. */
  readonly requestsMax?: number | undefined;
}

/** Options of a create. */
export interface RemoteCreateOptions extends RemoteCallOptions {
  /**
   * Whether the key stands for these bytes and no others, as a digest of them does. Then what an earlier
   * writer of the key sent and did not finish may be used where it is the same, and left for a later one
   * where this one is interrupted or not reached; and more than one writer may be told `created`.
   */
  readonly contentKey?: boolean;
}

/** Options of a read. */
export interface RemoteReadOptions extends RemoteCallOptions {
  /**
   * Two blocks of one size, a multiple of 4 KiB, each at a page of the machine. A remote may read to them;
   * the blocks that it yields are then parts of them.
   */
  readonly memory?: readonly [Buffer, Buffer] | undefined;
}

/**
 * Reads a remote. Keys are relative, `/`-separated, of the characters `A-Z a-z 0-9 . _ - / @` with no
 * empty component and none that starts with a dot, and not below `tmp/`; another key is a broken
 * invariant. No key is a folder of another one. All methods may be called in parallel and while other
 * processes write. Besides what each names, all throw `remote-unreachable`, `remote-refused` and
 * `not-a-remote`.
 */
export interface RemoteReader {
  /** Names the place for people: the directory, or the URL without credentials. */
  readonly location: string;

  /**
   * Reads an object, or a range of it, as blocks of any size. The bytes are exactly those asked for: a
   * short answer is an error of the iteration. Ending the iteration early frees what it holds. The
   * bytes are as stored; digests are the caller's to check. Blocks may be reused after the next step.
   * @throws MstoreError `not-found` when there is no such object
   * @throws MstoreError `corrupt-remote` when the object is shorter than the range
   */
  get(key: string, range?: ByteRange, options?: RemoteReadOptions): AsyncIterable<Uint8Array>;

  /** Returns the size of an object in bytes, or undefined when there is none. */
  stat(key: string, options?: RemoteCallOptions): Promise<number | undefined>;

  /**
   * Lists all objects whose keys start with `prefix` (which ends with `/` or is empty), in ascending
   * order of the keys' UTF-8 bytes. The list may be stale: it may lack what was just created, and name
   * what was just deleted. A prefix with nothing under it is an empty list.
   */
  list(prefix: string, options?: RemoteCallOptions): AsyncIterable<RemoteObject>;
}

/** Bytes to be stored, readable more than once so that a write can be tried again. */
export interface RemoteSource {
  /** Bytes. */
  readonly size: number;
  /** Starts reading from the first byte. */
  open(): AsyncIterable<Uint8Array>;
}

/**
 * Writes a remote by its one primitive, create if absent: an object appears whole or not at all, under
 * a new name, and is never overwritten. Of any number of writers of one name exactly one gets
 * `created`; see {@link RemoteCreateOptions} for an exception. Durable once it returns.
 */
export interface RemoteWriter extends RemoteReader {
  /** What the backend can tell and try beyond the contract; wrappers pass it on as it is. */
  readonly probe?: RemoteProbe | undefined;

  /**
   * Creates an object. `exists` means that another object has the name, whatever its bytes; the caller
   * compares where that matters. Safe to repeat after any failure.
   * @throws MstoreError `remote-refused` when writing is not allowed, `remote-full` without space,
   * `file-changed` when the source yields more or fewer bytes than its size
   */
  create(
    key: string,
    source: RemoteSource,
    options?: RemoteCreateOptions,
  ): Promise<'created' | 'exists'>;

  /**
   * Makes sure that what `list` and `stat` found so far is durable, whoever created it: for callers that report
   * work as done which they found done. Present where that may be otherwise; wrappers pass it on.
   */
  settle?(options?: RemoteCallOptions): Promise<void>;
}

/**
 * What a backend can tell of itself, and try, beyond the contract: for the check of a remote, and to find
 * out whether a service keeps the precondition that {@link RemoteWriter.create} rests on. Texts are fit to
 * be printed and hold no secret. All throw what the methods of the contract throw.
 */
export interface RemoteProbe {
  /** Names what requests go to, without asking anybody: a folder, or the URL of a service. */
  endpoint(options?: RemoteCallOptions): Promise<string>;
  /** Says who we are there, and where that comes from, as far as it is known without a request. */
  identity(options?: RemoteCallOptions): Promise<string>;
  /** Says which region requests are signed for, and where that comes from; absent where places have none. */
  region?(options?: RemoteCallOptions): Promise<string>;
  /**
   * Makes one request that changes nothing and is not tried again. Returns when the service answered and
   * knows who asks, even when it refuses what was asked for.
   */
  reach(options?: RemoteCallOptions): Promise<void>;
  /** What to ask for when a call is refused for want of a right: `s3:PutObject on …`. */
  readonly rights: Readonly<Record<'read' | 'list' | 'write' | 'parts' | 'delete', string>>;
  /** Writes a policy of the least rights; absent where the place knows no such policies. */
  policy?(grant: AccessGrant, options?: RemoteCallOptions): Promise<AccessPolicy>;
  /**
   * Finds out whether a key may be created, and leaves nothing there.
   * @throws MstoreError `remote-refused` with the reason `forbidden` where it may not
   */
  mayCreate?(key: string, options?: RemoteCallOptions): Promise<void>;
  /** Tells what becomes of deleted objects; undefined where the service does not say, or not to us. */
  retention?(options?: RemoteCallOptions): Promise<Retention | undefined>;
  /**
   * Creates a small object by the precondition of the service alone, whatever was accepted in its place.
   * Present where a service may turn out to ignore or to refuse it.
   */
  createIfAbsent?(
    key: string,
    bytes: Uint8Array,
    options?: RemoteCallOptions,
  ): Promise<'created' | 'exists'>;
  /** The same in parts, where the backend sends large objects so. */
  createInPartsIfAbsent?(
    key: string,
    bytes: Uint8Array,
    options?: RemoteCallOptions,
  ): Promise<'created' | 'exists'>;
}

/** What somebody may do at a place: read and list all of it, and what is given here. In patterns, `*` stands for any text. */
export interface AccessGrant {
  /** Patterns of keys that may be created where there are none. */
  readonly creates: readonly string[];
  /** Patterns of keys that may be deleted. */
  readonly deletes: readonly string[];
  /** Patterns of keys that are not to be created, whatever the others say. */
  readonly never: readonly string[];
}

/** A policy that gives somebody what a grant says. */
export interface AccessPolicy {
  /** What it is a policy of: `IAM of S3`. */
  readonly kind: string;
  /** The document, as the service takes it. */
  readonly document: object;
  /** How it is put in force: commands, one a line. */
  readonly commands: readonly string[];
}

/** What a place does with objects that are deleted. */
export interface Retention {
  /** Whether deleted objects stay as older versions, and go on costing. */
  readonly versioned: boolean;
  /** How long new objects cannot be deleted at all, in words; absent where they can. */
  readonly locked?: string;
}

/** An upload that was begun and is not ended: its object is not there, and its bytes may cost money. */
export interface RemoteUpload {
  /** The key of the object that it would make. */
  readonly key: string;
  /** Names it among those of its key. */
  readonly id: string;
  /** When it was begun, in milliseconds since 1970-01-01 UTC by the clock of the service; undefined where it does not tell. */
  readonly begun: number | undefined;
  /** Bytes that have arrived; undefined where the service does not tell. */
  readonly bytes: number | undefined;
}

/**
 * Uploads of a remote that were begun and not ended. They may be under way, in this process or any other:
 * only their age tells one of these from what a process left that died. All throw what the methods of the
 * contract throw.
 */
export interface RemoteUploads {
  /** Lists them, in no order that can be relied on. What begins or ends meanwhile may be left out. */
  list(options?: RemoteCallOptions): AsyncIterable<RemoteUpload>;
  /**
   * Ends one, and with it what has arrived of it; one that is gone is success. A process that is about it
   * finds out with its next request, and begins anew.
   */
  end(upload: Pick<RemoteUpload, 'key' | 'id'>, options?: RemoteCallOptions): Promise<void>;
}

/** Deletes; only garbage collection and the check of a remote receive this type. */
export interface RemotePruner extends RemoteWriter {
  /** Present where uploads that were broken off stay, and the service tells of them; wrappers pass it on. */
  readonly uploads?: RemoteUploads | undefined;

  /** Deletes an object; one that is not there is success. */
  delete(key: string, options?: RemoteCallOptions): Promise<void>;
}

/** A source of bytes that are already in memory. */
export function bytesSource(bytes: Uint8Array): RemoteSource {
  return {
    size: bytes.length,
    open: async function* () {
      yield bytes;
    },
  };
}

/**
 * Reads a small object whole into memory.
 * @throws MstoreError `corrupt-remote` when it has more than `bytesMax` bytes
 */
export async function readObject(
  remote: RemoteReader,
  key: string,
  bytesMax: number,
  options: RemoteCallOptions = {},
): Promise<Buffer> {
  const blocks: Buffer[] = [];
  let size = 0;
  for await (const block of remote.get(key, undefined, options)) {
    size += block.length;
    if (size > bytesMax) {
      throw new MstoreError(
        'corrupt-remote',
        `${remote.location}/${key} is larger than ${bytesMax} bytes`,
        { details: { key } },
      );
    }
    blocks.push(Buffer.from(block));
  }
  return Buffer.concat(blocks, size);
}
