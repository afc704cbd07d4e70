import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';

/** What a name in the registry stands for. */
export type NameKind = 'model' | 'version' | 'environment';

const namePattern = /^[a-z0-9][a-z0-9._-]*$/;
/** Characters of a name; with the number of an entry behind it, it fits in a file name everywhere. */
const nameLengthMax = 128;
/** Computed from the versions, never stored. */
export const latestName = 'latest';

/** Says what is wrong with a name, or returns undefined. */
export function registryNameProblem(kind: NameKind, name: string): string | undefined {
  if (name === '') return 'it is empty';
  if (name.length > nameLengthMax) return `it has more than ${nameLengthMax} characters`;
  if (/[A-Z]/.test(name)) return 'it has capital letters, which not all systems tell apart';
  if (!namePattern.test(name)) {
    return 'names are made of a-z, 0-9, ".", "_" and "-" and start with a letter or a digit';
  }
  if (name.endsWith('.') || name.includes('..')) return 'its dots stand alone or at the end';
  if (kind !== 'model' && name === latestName) return '"latest" is computed from the versions';
  return undefined;
}

/**
 * Checks a name that is about to be used for the first time.
 * @throws MstoreError `bad-name`
 */
export function checkRegistryName(kind: NameKind, name: string): string {
  const problem = registryNameProblem(kind, name);
  if (problem === undefined) return name;
  throw new MstoreError('bad-name', `${printable(name)} is no name for a ${kind}: ${problem}`, {
    hint: `Use a name like ${exampleNames[kind]}`,
    details: { kind, name },
  });
}

const exampleNames: Readonly<Record<NameKind, string>> = {
  model: 'safety_classifier',
  version: 'v1.2.0',
  environment: 'production',
};
