/** One step from a commit: to its nth parent (`^N`), or n times to the first parent (`~N`). */
interface RevisionStep {
  readonly kind: 'parent' | 'ancestor';
  readonly count: number;
}

/** A revision that was found harmless: a name or an id, and steps from there. */
export interface Revision {
  readonly base: string;
  readonly steps: readonly RevisionStep[];
}

const revisionLengthMax = 1_024;
const stepsMax = 100;

/**
 * Parses `NAME`, `NAME~N`, `NAME^N` and combinations. The base obeys the rules of reference names, so
 * it is no option, no range, no path and no glob; `@` stands for HEAD. Returns undefined for all other
 * text.
 */
export function parseRevision(text: string): Revision | undefined {
  if (text.length > revisionLengthMax) return undefined;
  const match = /^([^~^]+)((?:[~^]\d{0,6})*)$/.exec(text);
  if (match === null) return undefined;
  const base = match[1] === '@' ? 'HEAD' : (match[1] ?? '');
  if (!isReferenceName(base)) return undefined;
  const steps: RevisionStep[] = [];
  for (const [, sign, digits] of (match[2] ?? '').matchAll(/([~^])(\d*)/g)) {
    const count = digits === '' ? 1 : Number(digits);
    steps.push({ kind: sign === '^' ? 'parent' : 'ancestor', count });
  }
  return steps.length > stepsMax ? undefined : { base, steps };
}

/** Writes a parsed revision as Git reads it. */
export function formatRevision(revision: Revision): string {
  const steps = revision.steps.map((step) => `${step.kind === 'parent' ? '^' : '~'}${step.count}`);
  return revision.base + steps.join('');
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const forbiddenInNames = /[\u0000-\u0020\u007f~^:?*[\\\p{Surrogate}]|\.\.|@\{|\/\/|^[-/]|[/.]$/u;

/** Tells whether a name obeys `git check-ref-format --allow-onelevel` and does not look like an option. */
export function isReferenceName(name: string): boolean {
  if (name === '' || name === '@' || forbiddenInNames.test(name)) return false;
  return name.split('/').every((part) => !part.startsWith('.') && !part.endsWith('.lock'));
}

/** Tells whether `text` is a whole object id, in the one form in which ids are stored. */
export function isObjectId(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** Returns the names under which Git looks for a reference, first to last. */
export function referenceCandidates(base: string): string[] {
  const below = [
    `refs/${base}`,
    `refs/tags/${base}`,
    `refs/heads/${base}`,
    `refs/remotes/${base}`,
    `refs/remotes/${base}/HEAD`,
  ];
  // Other files of the Git directory (`config`, `description`) are no references.
  return base.startsWith('refs/') || /^[A-Z][A-Z_]*$/.test(base) ? [base, ...below] : below;
}

/** Returns the kind and the short name of a full reference name, undefined for other references. */
export function describeReference(
  fullName: string,
): { name: string; kind: 'branch' | 'tag' | 'remote-branch' } | undefined {
  const match = /^refs\/(heads|tags|remotes)\/(.+)$/s.exec(fullName);
  if (match === null) return undefined;
  const name = match[2] ?? '';
  if (match[1] === 'heads') return { name, kind: 'branch' };
  if (match[1] === 'tags') return { name, kind: 'tag' };
  // What a remote has checked out is another name for one of its branches, which is listed anyway.
  return name.endsWith('/HEAD') ? undefined : { name, kind: 'remote-branch' };
}
