import { throwIfAborted } from '../base/abort.ts';
import type { Random } from '../base/clock.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { checkKey, checkRange } from '../remote/keys.ts';
import {
  type ByteRange,
  type RemoteCallOptions,
  type RemoteProbe,
  type RemotePruner,
  type RemoteUploads,
  readObject,
} from '../remote/remote.ts';
import type { Secrets } from './age.ts';
import { encryptedRemote } from './encrypted-remote.ts';
import {
  closedKey,
  type EncryptionHeader,
  generationsPrefix,
  liveKey,
  parseEncryptionHeader,
  parseNext,
} from './key-objects.ts';
import type { MasterKey } from './keys.ts';
import { unlockKey } from './unlock.ts';

/** The header, which alone is never encrypted. */
const headerKey = 'mstore.json';

/** Keys that one remote had one after the other, at most. */
const generationsMax = 1000;

/** Folders whose objects say nothing by being there: they may be left behind when the key changes. */
const contentPattern = /^(?:packs|index|recipes|probes)\//;

/** What is known of the encryption of a remote before it is opened. */
export interface GuardOptions {
  /** The id of the key that the remote must be encrypted by; undefined where nobody said. */
  readonly pinned: string | undefined;
  /** Names the remote, for hints. */
  readonly name: string;
  /** Gets what unwraps keys; asked where a remote turns out to be encrypted. */
  readonly secrets: () => Promise<Secrets>;
  readonly random: Random;
}

/** A remote, open: clear, or encrypted. */
interface OpenPlace {
  readonly remote: RemotePruner;
  /** The header as those see it who know nothing of encryption; undefined where it is read as it lies there. */
  readonly header: Buffer | undefined;
}

/**
 * Puts encryption in front of a remote whose header says so, and nothing in front of others. The header is read by the first
 * call, whichever that is; what it says of encryption is left out of what is handed on.
 *
 * With a pinned key all else is refused: a header without encryption, none, or another key. All calls throw `key-changed`
 * then, and `wrong-key` where no secret opens the remote.
 */
export function guardedRemote(remote: RemotePruner, options: GuardOptions): RemotePruner {
  const guarded = new GuardedRemote(remote, options);
  const { probe, uploads } = remote;
  return {
    location: remote.location,
    probe: probe && guarded.probe(probe),
    uploads: uploads && guarded.uploads(),
    ...(remote.settle === undefined ? {} : { settle: async (how) => remote.settle?.(how) }),
    async *get(key, range, how) {
      checkKey(key);
      if (key === headerKey) yield* guarded.header(range, how);
      else yield* (await guarded.open(how)).remote.get(key, range, how);
    },
    async stat(key, how) {
      const { remote: opened, header } = await guarded.open(how);
      return key === headerKey && header !== undefined ? header.length : opened.stat(key, how);
    },
    async *list(prefix, how) {
      const { remote: opened, header } = await guarded.open(how);
      let isToCome = prefix === '' && header !== undefined;
      for await (const object of opened.list(prefix, how)) {
        if (isToCome && object.key > headerKey) {
          yield { key: headerKey, size: header?.length ?? 0 };
          isToCome = false;
        }
        yield object;
      }
      if (isToCome) yield { key: headerKey, size: header?.length ?? 0 };
    },
    async create(key, source, how) {
      const { remote: opened, header } = await guarded.open(how);
      if (key === headerKey && header !== undefined) return 'exists';
      return opened.create(key, source, how);
    },
    async delete(key, how) {
      await (await guarded.open(how)).remote.delete(key, how);
    },
  };
}

class GuardedRemote {
  readonly #remote: RemotePruner;
  readonly #options: GuardOptions;
  #opening: Promise<OpenPlace> | undefined;
  /** The header of a clear remote, for the first who asks for it. */
  #first: Buffer | undefined;

  constructor(remote: RemotePruner, options: GuardOptions) {
    this.#remote = remote;
    this.#options = options;
  }

  /** Finds out how the remote is to be read. A place without a header is looked at again by the next call. */
  async open(options: RemoteCallOptions | undefined): Promise<OpenPlace> {
    throwIfAborted(options?.signal);
    if (this.#opening === undefined) {
      const opening = this.#open(options ?? {});
      this.#opening = opening;
      // What failed is tried again by the next call.
      opening.catch(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
    }
    return this.#opening;
  }

  async *header(
    range: ByteRange | undefined,
    options: RemoteCallOptions | undefined,
  ): AsyncGenerator<Uint8Array, void, void> {
    const { header } = await this.open(options);
    const bytes = header ?? this.#first;
    this.#first = undefined;
    if (bytes === undefined) {
      yield* this.#remote.get(headerKey, range, options);
      return;
    }
    const { start, end } = checkRange(headerKey, range, bytes.length, this.#remote.location);
    if (start < end) yield Buffer.from(bytes.subarray(start, end));
  }

  async #open(options: RemoteCallOptions): Promise<OpenPlace> {
    const { name, random } = this.#options;
    const { bytes, header, master } = await openKey(this.#remote, this.#options, options);
    if (header === undefined || master === undefined) {
      if (bytes === undefined) this.#opening = undefined;
      this.#first = bytes;
      return { remote: this.#remote, header: undefined };
    }
    const folder = folderOf(header, master.id);
    const encrypted = encryptedRemote(this.#remote, { master, folder, random });
    return { remote: whileOpen(this.#remote, encrypted, { name, master }), header: header.clear };
  }

  /** The tries of the backend, by the names and bytes of the remote as it turns out to be. */
  probe(probe: RemoteProbe): RemoteProbe {
    const { createIfAbsent, createInPartsIfAbsent } = probe;
    return {
      ...probe,
      ...(createIfAbsent && {
        createIfAbsent: async (key, bytes, how) => {
          const opened = (await this.open(how)).remote.probe;
          return (await opened?.createIfAbsent?.(key, bytes, how)) ?? 'exists';
        },
      }),
      ...(createInPartsIfAbsent && {
        createInPartsIfAbsent: async (key, bytes, how) => {
          const opened = (await this.open(how)).remote.probe;
          return (await opened?.createInPartsIfAbsent?.(key, bytes, how)) ?? 'exists';
        },
      }),
    };
  }

  uploads(): RemoteUploads {
    const opened = async (how: RemoteCallOptions | undefined) =>
      (await this.open(how)).remote.uploads;
    return {
      async *list(how) {
        const uploads = await opened(how);
        if (uploads !== undefined) yield* uploads.list(how);
      },
      async end(upload, how) {
        await (await opened(how))?.end(upload, how);
      },
    };
  }
}

/** What there is of a remote: its key where it is encrypted, and nothing but the bytes of its header where it is not. */
interface OpenedKey {
  /** The header as it lies there; undefined where there is none. */
  readonly bytes: Buffer | undefined;
  readonly header?: EncryptionHeader;
  readonly master?: MasterKey;
}

/**
 * Finds out whether a remote is encrypted, and gets its key.
 * @throws MstoreError `key-changed` when it is not what was pinned, `wrong-key` when no secret opens it, `corrupt-remote`
 */
export async function openKey(
  remote: RemotePruner,
  { pinned, name, secrets }: Omit<GuardOptions, 'random'>,
  options: RemoteCallOptions,
): Promise<OpenedKey> {
  const bytes = await readHeaderBytes(remote, options);
  const header = bytes && parseEncryptionHeader(bytes, remote.location);
  if (header === undefined) {
    if (pinned !== undefined) throw notEncrypted(remote, name, bytes === undefined);
    return { bytes };
  }
  const live = await liveKeyOf(remote, header, options);
  if (pinned !== undefined && live !== pinned) throw otherKey(remote, name, live);
  return { bytes, header, master: await unlockKey(remote, live, await secrets(), options) };
}

/** Returns the folder of the objects under a key. */
export function folderOf({ key }: Pick<EncryptionHeader, 'key'>, live: string): string {
  return live === key ? '' : `${generationsPrefix}${live}/`;
}

/** Reads the header of a remote as it lies there; undefined where there is none. */
async function readHeaderBytes(
  remote: RemotePruner,
  options: RemoteCallOptions,
): Promise<Buffer | undefined> {
  try {
    return await readObject(remote, headerKey, limits.headerBytesMax, options);
  } catch (error) {
    if (isMstoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

/**
 * Finds the key that a remote is encrypted by now: the first one, or the last that took the place of another.
 * @throws MstoreError `corrupt-remote`
 */
export async function liveKeyOf(
  remote: RemotePruner,
  { key }: Pick<EncryptionHeader, 'key'>,
  options: RemoteCallOptions,
): Promise<string> {
  let live = key;
  for (let count = 0; count < generationsMax; count++) {
    const next = await nextKeyOf(remote, live, options);
    if (next === undefined) return live;
    if ((await remote.stat(liveKey(next), options)) === undefined) return live;
    live = next;
  }
  throw new MstoreError(
    'corrupt-remote',
    `The keys of ${remote.location} follow each other without an end`,
    {
      hint: 'Restore the objects below keys/ from a backup',
    },
  );
}

/** Reads which key is to take the place of one; undefined where none is. */
export async function nextKeyOf(
  remote: RemotePruner,
  key: string,
  options: RemoteCallOptions,
): Promise<string | undefined> {
  try {
    const bytes = await readObject(remote, closedKey(key), limits.headerBytesMax, options);
    return parseNext(bytes, `${remote.location}/${closedKey(key)}`);
  } catch (error) {
    if (isMstoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

/**
 * A remote whose key may be replaced by another while it is used. What is recorded is recorded under the key that counts:
 * after each create that others go by, it is made sure that the key was not closed before. Whoever closes it and lists the
 * objects afterwards sees all that was told to be done.
 */
function whileOpen(
  raw: RemotePruner,
  remote: RemotePruner,
  { name, master }: { readonly name: string; readonly master: MasterKey },
): RemotePruner {
  let hasWritten = false;
  const refuseClosed = async (options: RemoteCallOptions | undefined, cause?: unknown) => {
    const call = { signal: options?.signal };
    if ((await raw.stat(closedKey(master.id), call)) !== undefined) {
      throw replaced(raw, name, cause);
    }
  };
  return {
    ...remote,
    async *get(key, range, options) {
      try {
        yield* remote.get(key, range, options);
      } catch (error) {
        if (isMstoreError(error, 'not-found')) await refuseClosed(options, error);
        throw error;
      }
    },
    async create(key, source, options) {
      // Nothing is sent in vain to a remote that was closed before.
      if (!hasWritten) await refuseClosed(options);
      hasWritten = true;
      const outcome = await remote.create(key, source, options);
      if (!contentPattern.test(key)) await refuseClosed(options);
      return outcome;
    },
  };
}

const pullHint =
  'Take over what the committed configuration says of the remote by now (git pull), and run the same command again';

/** Makes the error of a remote that is getting a new key, or has got one since it was opened. */
export function replaced(remote: RemotePruner, name: string, cause?: unknown): MstoreError {
  return new MstoreError('key-changed', `${remote.location} is getting a new key (remote rekey)`, {
    hint: `When that is done: ${pullHint}; whether this write counts, "mstore history" and "mstore versions" tell then`,
    details: { name, location: remote.location },
    cause,
  });
}

function notEncrypted(remote: RemotePruner, name: string, isGone: boolean): MstoreError {
  return new MstoreError(
    'key-changed',
    `The remote ${name} must be encrypted, and ${remote.location} ${isGone ? 'has no mstore.json' : 'is not: its mstore.json says nothing of it'}`,
    {
      hint: `Somebody may have replaced what is there, or lost it: nothing was sent. If the remote is to be a clear one: mstore config unset remote.${name}.encryption`,
      details: { name, location: remote.location },
    },
  );
}

function otherKey(remote: RemotePruner, name: string, key: string): MstoreError {
  return new MstoreError(
    'key-changed',
    `${remote.location} is encrypted by another key (${key}) than the configuration says of ${name}`,
    {
      hint: `${pullHint}. If nobody has made a new key, somebody has replaced what is there`,
      details: { name, key, location: remote.location },
    },
  );
}
