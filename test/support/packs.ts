import * as fs from 'node:fs';
import * as path from 'node:path';
import { sha256Raw } from '../../src/base/digest.ts';
import { FooterBuilder, type PackFooter } from '../../src/pack/format.ts';
import { PackWriter } from '../../src/pack/writer.ts';

/** Writes a pack of the given chunks and returns its footer and its file. */
export function writePack(
  folder: string,
  chunks: readonly Uint8Array[],
): { file: string; footer: PackFooter } {
  const file = path.join(folder, 'test.pack');
  fs.rmSync(file, { force: true });
  const writer = new PackWriter(file);
  for (const raw of chunks) writer.append(sha256Raw(raw), raw);
  return { file, footer: writer.finish() };
}

/** A footer of chunks of one byte with the given ids; no pack exists for it. */
export function footerOf(ids: readonly Uint8Array[]): PackFooter {
  const builder = new FooterBuilder();
  for (const [offset, id] of ids.entries()) {
    builder.add(id, { offset, storedLength: 1, rawLength: 1, encoding: 0 });
  }
  return builder.finish();
}
