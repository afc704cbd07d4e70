import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError } from '../../base/errors.ts';
import { readBounded, removeFile, syncFolder, writeAtomically } from '../../base/files.ts';
import { isJsonObject, parseJsonBytes } from '../../base/json.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import { withoutPassword } from '../../worktree/config.ts';
import { inTheWay } from './place.ts';
import type { SyncSession } from './session.ts';

/** The number of the form of receipts. */
const receiptFormat = 1;

/** What says that a version is live here, and that every byte of it was verified. */
export interface Receipt {
  readonly mstore: typeof receiptFormat;
  readonly model: string;
  readonly environment: string;
  /** Number of the entry of the environment that it follows. */
  readonly entry: number;
  readonly version: string;
  /** Digest of the record of the version. */
  readonly record: string;
  /** Digest of the tree of all its files. */
  readonly tree: string;
  /** Absolute. */
  readonly directory: string;
  /** Where the environment was asked; null where it could not be. */
  readonly source: string | null;
  /** When all was verified, as ISO 8601 in UTC. */
  readonly at: string;
  readonly verified: { readonly files: number; readonly bytes: number };
  /** Whether the environment may say something else by now, as it could not be asked. */
  readonly stale: boolean;
}

/** Writes a receipt whole, durable when it returns. */
export function writeReceipt(
  { receipt: file, surroundings, options, state }: SyncSession,
  found: {
    readonly version: string;
    readonly record: string;
    readonly tree: string;
    readonly directory: string;
    readonly files: number;
    readonly size: number;
  },
  source: string | undefined,
): Receipt {
  const { model, environment } = options;
  const { version, record, tree, directory, files, size } = found;
  const receipt: Receipt = {
    mstore: receiptFormat,
    model,
    environment,
    entry: state.value.seen?.number ?? 0,
    version,
    record,
    tree,
    directory,
    source: source === undefined ? null : withoutPassword(source),
    at: new Date(surroundings.clock.now()).toISOString(),
    verified: { files, bytes: size },
    stale: source === undefined,
  };
  writeAtomically(file, `${JSON.stringify(receipt, undefined, 2)}\n`, { mode: 0o644 });
  return receipt;
}

/**
 * Makes sure that what stands in the place of the receipt is one.
 * @throws MstoreError `destination-exists`
 */
export function checkReceipt(receipt: string): void {
  const stat = fs.lstatSync(receipt, { throwIfNoEntry: false });
  if (stat === undefined || (stat.isFile() && isReceipt(receipt))) return;
  throw inTheWay(
    receipt,
    'is in the way: it is no receipt of sync',
    'Move it away, or name another file with --receipt',
  );
}

function isReceipt(file: string): boolean {
  const bytes = readBounded(file, limits.registryObjectBytesMax) ?? Buffer.alloc(0);
  try {
    const value = parseJsonBytes(bytes);
    return isJsonObject(value) && 'mstore' in value && 'verified' in value;
  } catch {
    return false;
  }
}

/** Takes away what an earlier run said. */
export function removeReceipt(receipt: string): void {
  try {
    if (fs.lstatSync(receipt, { throwIfNoEntry: false }) === undefined) return;
    removeFile(receipt);
    syncFolder(path.dirname(receipt));
  } catch (error) {
    throw fromSystemError(error, `removing ${printable(receipt)}`);
  }
}
