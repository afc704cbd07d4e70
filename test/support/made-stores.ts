import * as path from 'node:path';
import { pathToFileURL } from 'node:url';

/** The tool that makes up stores of very many chunks; packs are holes but for their footers. */
interface IndexScaleTool {
  makeStore(store: string, chunks: number, rowsOfPack: number): number;
  writeId(target: Buffer, at: number, n: number): void;
  indexScale(options: {
    place: string;
    chunks: number;
    rows: number;
    lookups: number;
  }): Readonly<Record<string, number>>;
}

const file = path.resolve(import.meta.dirname, '../tools/index-scale.js');
const tool = (await import(pathToFileURL(file).href)) as IndexScaleTool;

/** Adds packs of made-up chunks, numbered from 0, to a store or remote; returns the number of packs. */
export const makeStore = tool.makeStore;

/** Measures the index of such a store, in processes of its own. */
export const indexScale = tool.indexScale;

/** The id of chunk `n` of {@link makeStore}. */
export function madeId(n: number): Buffer {
  const id = Buffer.alloc(32);
  tool.writeId(id, 0, n);
  return id;
}
