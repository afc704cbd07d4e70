import { type Digest, isDigest } from '../base/digest.ts';

/** Files of this many bytes or more are no pointers. */
export const lfsPointerBytesMax = 1024;

/** What stands in Git in place of a file that Git LFS keeps. */
export interface LfsPointer {
  /** SHA-256 of the bytes, as they are stored. */
  readonly oid: Digest;
  /** Bytes. */
  readonly size: number;
  /** Names of the extensions that the bytes went through before they were stored; mostly none. */
  readonly extensions: readonly string[];
  /** Whether the text is the one form that Git LFS writes; it complains of others. */
  readonly canonical: boolean;
}

/** The digest of no bytes, which has no pointer: an empty file is an empty file. */
const emptyOid = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' as Digest;

const version = 'https://git-lfs.github.com/spec/v1';
/** Names of the same format that programs of the past wrote. */
const versions: readonly string[] = [
  version,
  'https://hawser.github.com/spec/v1',
  'http://git-media.io/v/2',
];

/** Writes the one form of a pointer without extensions. */
export function formatLfsPointer({ oid, size }: Pick<LfsPointer, 'oid' | 'size'>): string {
  return size === 0 ? '' : `version ${version}\noid sha256:${oid}\nsize ${size}\n`;
}

/**
 * Reads a pointer as Git LFS itself does: white space around the text and empty lines do not count, the order of keys does.
 * @returns undefined for what is no pointer: it stands for itself then
 */
export function parseLfsPointer(bytes: Uint8Array): LfsPointer | undefined {
  if (bytes.length === 0) return { oid: emptyOid, size: 0, extensions: [], canonical: true };
  if (bytes.length >= lfsPointerBytesMax) return undefined;
  const text = decoded(bytes);
  if (text === undefined) return undefined;
  const lines = text
    .replace(/^[^\S\ufeff]+|[^\S\ufeff]+$/g, '')
    .split('\n')
    .map((line) => line.replace(/\r$/, ''))
    .filter((line) => line !== '');
  const [first, ...rest] = lines;
  if (!versions.some((one) => first === `version ${one}`)) return undefined;
  const sizeLine = /^size (\d{1,16})$/.exec(rest.pop() ?? '')?.[1];
  const oid = /^oid sha256:(.*)$/.exec(rest.pop() ?? '')?.[1];
  if (sizeLine === undefined || !isDigest(oid)) return undefined;
  const size = Number(sizeLine);
  const extensions = extensionsOf(rest);
  if (!Number.isSafeInteger(size) || extensions === undefined) return undefined;
  const canonical = extensions.length === 0 && text === formatLfsPointer({ oid, size });
  return { oid, size, extensions, canonical };
}

/** Reads `ext-0-name sha256:…`, each priority once. */
function extensionsOf(lines: readonly string[]): string[] | undefined {
  const byPriority = new Map<string, string>();
  for (const line of lines) {
    const found = /^ext-(\d)-(\w[\w.-]*) sha256:([0-9a-f]{64})$/.exec(line);
    const [, priority, name] = found ?? [];
    if (priority === undefined || name === undefined || byPriority.has(priority)) return undefined;
    byPriority.set(priority, name);
  }
  return [...byPriority.values()];
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
