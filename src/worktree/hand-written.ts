import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import type { ConfigTable } from './config-file.ts';

/** A table of the committed file that is written by hand, as it was read, for others to check. */
export type HandWritten = Readonly<{ value: unknown; file: string }>;

/** All of them. */
export interface HandWrittenTables {
  /** The table `policy`, for `registry/policy.ts` to check. */
  readonly policies: HandWritten;
  /** The table `monitor`, for `monitor/rules.ts` to check. */
  readonly monitors: HandWritten;
  /** The tables `signers` and `trust`, for `registry/trust-rules.ts` to check. */
  readonly signers: HandWritten;
  readonly trust: HandWritten;
}

/**
 * Takes them out of the committed file. A gate that each machine could open for itself would be none.
 * @throws MstoreError `config-invalid` where the file of one machine holds one
 */
export function handWrittenTables(
  committed: ConfigTable,
  file: string,
  { local, localFile }: { readonly local: ConfigTable; readonly localFile: string },
): HandWrittenTables {
  for (const [name, what] of [
    ['policy', 'policies'],
    ['monitor', 'rules of monitors'],
    ['signers', 'signers'],
    ['trust', 'rules of trust'],
  ] as const) {
    if (local[name] === undefined) continue;
    const text = `${localFile} holds ${what}, which are for all machines`;
    throw new MstoreError('config-invalid', text, {
      hint: `Move them to ${path.basename(file)}, which Git keeps`,
      details: { path: localFile },
    });
  }
  return {
    policies: { value: committed['policy'], file },
    monitors: { value: committed['monitor'], file },
    signers: { value: committed['signers'], file },
    trust: { value: committed['trust'], file },
  };
}
