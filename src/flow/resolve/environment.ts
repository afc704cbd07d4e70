import { parse } from 'dotenv';
import { MstoreError } from '../../base/errors.ts';
import { readBounded } from '../../base/files.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';

/** Variables that name the model of a service, in the order in which they are looked at. */
const referenceVariables = ['MODEL_REF', 'ML_MODEL_REF'] as const;

/**
 * Adds the variables of a file to an environment, which wins where both have one.
 * @param file absolute path of a file of lines `NAME=VALUE`
 * @throws MstoreError `not-found`, `too-large`, `usage` when a reference in it would be cut
 */
export function withEnvFile(env: NodeJS.ProcessEnv, file: string): NodeJS.ProcessEnv {
  const bytes = readBounded(file, limits.envFileBytesMax);
  if (bytes === undefined) {
    throw new MstoreError('not-found', `There is no file ${printable(file)}`, {
      hint: 'Check --env-file, or leave it out to read the environment alone',
      details: { path: file },
    });
  }
  return parseEnv(env, bytes, file);
}

/**
 * Adds the variables of the bytes of a file to an environment, which wins where both have one.
 * @param file names it in errors
 * @throws MstoreError `usage` when a reference in it would be cut
 */
export function parseEnv(
  env: NodeJS.ProcessEnv,
  bytes: Uint8Array,
  file: string,
): NodeJS.ProcessEnv {
  const text = Buffer.from(bytes)
    .toString('utf8')
    .replace(/^\ufeff/, '');
  refuseCut(text, file);
  return { ...parse(text), ...env };
}

/** In such files # starts a comment: a digest behind it would be dropped without a word. */
function refuseCut(text: string, file: string): void {
  for (const name of referenceVariables) {
    const cut = new RegExp(
      `^[ \\t]*(?:export[ \\t]+)?${name}[ \\t]*[=:][ \\t]*[^\\s'"\`#][^\\n]*#`,
      'm',
    );
    if (!cut.test(text)) continue;
    throw new MstoreError(
      'usage',
      `The value of ${name} in ${printable(file)} holds a # and no quotes`,
      {
        hint: `What follows would be a comment; write ${name}="…"`,
        details: { path: file, name },
      },
    );
  }
}

/**
 * Returns the reference that the environment names.
 * @throws MstoreError `usage` when none is named, or two that differ
 */
export function referenceFrom(env: NodeJS.ProcessEnv, envFile: string | undefined): string {
  const given = referenceVariables.flatMap((name) => {
    const value = env[name]?.trim() ?? '';
    return value === '' ? [] : [{ name, value }];
  });
  const [first, second] = given;
  if (first === undefined) {
    const where =
      envFile === undefined ? 'the environment' : `the environment or ${printable(envFile)}`;
    throw new MstoreError('usage', `No model is named, and ${where} has no MODEL_REF`, {
      hint: 'Write mstore resolve REF, or set MODEL_REF (or ML_MODEL_REF) to a reference, such as bert@production',
    });
  }
  if (second === undefined || second.value === first.value) return first.value;
  throw new MstoreError(
    'usage',
    `MODEL_REF names ${printable(first.value)} and ML_MODEL_REF ${printable(second.value)}`,
    { hint: 'Unset one of them, or set both to the same reference' },
  );
}
