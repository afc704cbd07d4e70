import { type Digest, isDigest } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { parseReference, type Reference } from '../../registry/reference.ts';

/** A reference as it was asked for, with the digest behind `#sha256=` that pins it. */
export interface Asked {
  /** As it was given. */
  readonly text: string;
  /** The same without the digest. */
  readonly bare: string;
  readonly reference: Reference;
  /** Digest of the record for a version of a model, of the tree for what has no revisions. */
  readonly sha256: Digest | undefined;
}

/** Kinds of references that a digest behind them pins; others have a commit or a digest of their own. */
const pinnedByDigest: ReadonlySet<string> = new Set([
  'model',
  'path',
  'local',
  's3',
  'gs',
  'mlflow',
  'dvc',
]);
const commitPattern = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;

/**
 * Reads a reference that may be pinned: `bert@v1#sha256=DIGEST`.
 * @throws MstoreError `usage`
 */
export function parseAsked(text: string): Asked {
  const [, bare = text, digest] = /^(.+)#sha256=([^#]*)$/s.exec(text) ?? [];
  if (digest === undefined || /^https?:\/\//.test(text)) {
    return { text, bare: text, reference: parseReference(text), sha256: undefined };
  }
  const reference = parseReference(bare);
  const sha256 = digest.toLowerCase();
  if (isDigest(sha256) && pinnedByDigest.has(reference.kind)) {
    return { text, bare, reference, sha256 };
  }
  throw new MstoreError(
    'usage',
    isDigest(sha256)
      ? `${printable(bare)} is of a kind that is pinned by a commit, not by a digest`
      : `What stands behind #sha256= of ${printable(bare)} is no digest of 64 hexadecimal digits`,
    {
      hint: 'Write MODEL@VERSION#sha256=DIGEST as "mstore resolve --json" prints it, hf:ORG/NAME@COMMIT or git:COMMIT',
    },
  );
}

/** Names what a reference is called in a lock file: of an address without what stands behind its ?. */
export function lockName({ text, reference }: Asked): string {
  return reference.kind === 'https' ? webName(reference) : text;
}

/** The exact form of an address, without what may be a signature. */
function webName({ url, sha256 }: Extract<Reference, { kind: 'https' }>): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}#sha256=${sha256}`;
}

/** The exact form of a reference that names the same bytes for ever by what it says; undefined for others. */
export function exactForm(asked: Asked): string | undefined {
  const { reference, text, sha256 } = asked;
  if (sha256 !== undefined) return text;
  if (reference.kind === 'https') return webName(reference);
  const commit = commitOf(reference);
  return commit !== undefined && commitPattern.test(commit) ? text : undefined;
}

function commitOf(reference: Reference): string | undefined {
  if (reference.kind === 'hf' || reference.kind === 'dvc') return reference.revision;
  return reference.kind === 'git' ? reference.revision : undefined;
}

/** The digest of the tree that a reference says itself; undefined where it does not. */
export function treeSaid({ reference, sha256 }: Asked): Digest | undefined {
  return reference.kind === 'model' ? undefined : sha256;
}

/** Tells whether an exact reference is a pin of another one: of the same model, repository or place. */
export function isPinOf(exact: Asked, { bare, reference, sha256 }: Asked): boolean {
  if (exactForm(exact) === undefined) return false;
  const pinned = exact.reference;
  switch (reference.kind) {
    case 'word':
      return ['model', 'git', 'path'].includes(pinned.kind);
    case 'model':
      return (
        pinned.kind === 'model' &&
        pinned.model === reference.model &&
        (sha256 === undefined || exact.sha256 === sha256)
      );
    case 'hf':
      return pinned.kind === 'hf' && pinned.repository === reference.repository;
    case 'git':
      return pinned.kind === 'git';
    case 'dvc':
      return (
        pinned.kind === 'dvc' &&
        pinned.path === reference.path &&
        (sha256 === undefined || exact.sha256 === sha256)
      );
    case 'https':
      return pinned.kind === 'https' && webName(pinned) === webName(reference);
    default:
      return exact.bare === bare && (sha256 === undefined || exact.sha256 === sha256);
  }
}
