import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import { invariant } from '../base/errors.ts';
import { isKeyName } from '../remote/keys.ts';
import { fromBase32, toBase32 } from './base32.ts';
import { derive, type MasterKey } from './keys.ts';

/*
 * Keys of objects, and the names under which an encrypted remote has them. The words of the layout stay, and
 * so do the numbers of logs, so that rights and life cycles by prefix do; each other name is encrypted by
 * itself, bound to the folder that it is in: always to the same, since an object is found by its name.
 */

/** One folder of the layout: which of the names in it stay as they are. */
interface Folder {
  /** Names that stay, with the folders that they are. */
  readonly words?: Readonly<Record<string, Folder>>;
  /** What the folders of all other names are. */
  readonly others?: Folder;
  /** Numbers that stay: of logs, and of their folders. */
  readonly numbers?: RegExp;
  /** Where objects are named by digests below `ab/`: what stands behind the digest. */
  readonly digestSuffix?: string;
}

const numberPattern = /^\d{8}(?:\.[a-z]{1,16}){1,2}$/;

const free: Folder = {};
const logs: Folder = { others: { numbers: numberPattern } };
const model: Folder = {
  words: { versions: free, environments: logs, states: logs, signatures: free },
};
const layout: Readonly<Record<string, Folder>> = {
  packs: { digestSuffix: '.pack' },
  index: { digestSuffix: '.idx' },
  recipes: { digestSuffix: '' },
  roots: free,
  audit: { numbers: /^\d{4}$/, others: { numbers: numberPattern } },
  refs: { words: { models: { others: model } } },
  gc: free,
  probes: free,
};
const top: Folder = { words: { ...layout, quarantine: { words: layout } } };

const fanOutLetters = 2;

const ivBytes = 16;
/** Names are filled up to whole blocks, so that they tell less of their length; 255 letters hold no more. */
const nameBlockBytes = 16;
const nameBytesMax = 143;
const digestBytes = 32;

/** Tells whether a name at the top of an encrypted remote is one of the layout, or an encrypted one. */
export function isOwnName(name: string): boolean {
  const sealedBytes = fromBase32(name)?.length ?? 0;
  return staysAsItIs(name, top) || sealedBytes >= ivBytes + nameBlockBytes;
}

/** What is encrypted: a name as it stands, or the 32 bytes of a digest. */
type NameKind = 'name' | 'digest';

/** The names of the objects of one encrypted remote. */
export class EncryptedNames {
  readonly #macKey: Buffer;
  readonly #cipherKey: Buffer;

  constructor({ bytes }: MasterKey) {
    this.#macKey = derive(bytes, 'names, synthetic iv');
    this.#cipherKey = derive(bytes, 'names, cipher');
  }

  /** Returns the name under which the remote has a key. */
  seal(key: string): string {
    const names = key.split('/');
    const sealed: string[] = [];
    let folder = top;
    let path = '';
    for (const [i, name] of names.entries()) {
      const digest = i === names.length - 2 ? digestOf(names.slice(i), folder) : undefined;
      if (digest !== undefined) {
        const token = this.#seal('digest', path, digest);
        sealed.push(token.slice(0, fanOutLetters), token);
        break;
      }
      sealed.push(staysAsItIs(name, folder) ? name : this.#seal('name', path, padded(name)));
      folder = folderBelow(folder, name);
      path += `${name}/`;
    }
    return sealed.join('/');
  }

  /** Returns the key of an object by the name that the remote has for it; undefined for what is none of ours. */
  open(sealed: string): string | undefined {
    const tokens = sealed.split('/');
    let folder = top;
    let path = '';
    for (const [i, token] of tokens.entries()) {
      if (staysAsItIs(token, folder)) {
        folder = folderBelow(folder, token);
        path += `${token}/`;
        continue;
      }
      const last = tokens[i + 1];
      if (token.length === fanOutLetters && i === tokens.length - 2 && last?.startsWith(token)) {
        const { digestSuffix } = folder;
        if (digestSuffix === undefined) return undefined;
        const digest = this.#open('digest', path, last)?.toString('hex');
        return digest && `${path}${digest.slice(0, 2)}/${digest}${digestSuffix}`;
      }
      const name = unpadded(this.#open('name', path, token));
      if (name === undefined || staysAsItIs(name, folder)) return undefined;
      folder = folderBelow(folder, name);
      path += `${name}/`;
    }
    return path.slice(0, -1);
  }

  /**
   * Returns the prefix of all names that the remote may have for keys below a prefix. Where names are spread
   * over folders by themselves, that is the prefix of more.
   */
  sealPrefix(prefix: string): string {
    let folder = top;
    let path = '';
    let sealed = '';
    for (const name of prefix.split('/').slice(0, -1)) {
      if (folder.digestSuffix !== undefined) break;
      const token = staysAsItIs(name, folder) ? name : this.#seal('name', path, padded(name));
      sealed += `${token}/`;
      folder = folderBelow(folder, name);
      path += `${name}/`;
    }
    return sealed;
  }

  #iv(kind: NameKind, path: string, bytes: Buffer): Buffer {
    const mac = createHmac('sha256', this.#macKey).update(`${kind}\0${path}\0`).update(bytes);
    return mac.digest().subarray(0, ivBytes);
  }

  #seal(kind: NameKind, path: string, bytes: Buffer): string {
    const iv = this.#iv(kind, path, bytes);
    const cipher = createCipheriv('aes-256-ctr', this.#cipherKey, iv);
    return toBase32(Buffer.concat([iv, cipher.update(bytes), cipher.final()]));
  }

  #open(kind: NameKind, path: string, token: string): Buffer | undefined {
    const bytes = fromBase32(token);
    if (bytes === undefined || bytes.length <= ivBytes) return undefined;
    if (kind === 'digest' && bytes.length !== ivBytes + digestBytes) return undefined;
    const iv = bytes.subarray(0, ivBytes);
    const cipher = createDecipheriv('aes-256-ctr', this.#cipherKey, iv);
    const opened = Buffer.concat([cipher.update(bytes.subarray(ivBytes)), cipher.final()]);
    return timingSafeEqual(this.#iv(kind, path, opened), iv) ? opened : undefined;
  }
}

function staysAsItIs(name: string, { words, numbers }: Folder): boolean {
  if (words !== undefined && Object.hasOwn(words, name)) return true;
  return numbers?.test(name) === true;
}

function folderBelow({ words, others }: Folder, name: string): Folder {
  return (words !== undefined && Object.hasOwn(words, name) ? words[name] : others) ?? free;
}

/** The digest that the last two names of a key stand for; undefined where they are other names. */
function digestOf(names: readonly string[], { digestSuffix }: Folder): Buffer | undefined {
  const [fan = '', name = ''] = names;
  if (digestSuffix === undefined || !name.endsWith(digestSuffix)) return undefined;
  const digest = name.slice(0, name.length - digestSuffix.length);
  const isDigest = /^[0-9a-f]{64}$/.test(digest) && digest.startsWith(fan) && fan.length === 2;
  return isDigest ? Buffer.from(digest, 'hex') : undefined;
}

function padded(name: string): Buffer {
  invariant(name.length <= nameBytesMax, `a name of at most ${nameBytesMax} characters`);
  const length = Math.ceil(name.length / nameBlockBytes) * nameBlockBytes;
  const bytes = Buffer.alloc(Math.min(nameBytesMax, length));
  bytes.write(name, 'latin1');
  return bytes;
}

function unpadded(bytes: Buffer | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  const end = bytes.indexOf(0);
  const name = bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
  return isKeyName(name) && padded(name).equals(bytes) ? name : undefined;
}
