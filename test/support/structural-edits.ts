import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect } from 'vitest';
import { BlobWriter } from '../../src/store/blob-writer.ts';
import { Store } from '../../src/store/local-store.ts';
import { tempFolder } from './temp.ts';
import { weightBytes } from './weights.ts';

/** A tensor, an initializer, a storage or an array: a name and the bytes under it. */
export interface Part {
  readonly name: string;
  readonly bytes: Buffer;
}

/** A second version of a model. */
export interface Edit {
  readonly name: string;
  /** The files of the second version, in the order in which they are added. */
  readonly files: readonly Buffer[];
  /** Bytes of the parts that are not in the first version. */
  readonly changed: number;
}

const kib = 1024;
const hidden = 512;
const layers = 6;

/** Parts of a language model in bfloat16, sorted by name, of `scale` times some 32 MiB. */
export function languageModel(scale = 1): Part[] {
  const rows: Array<readonly [name: string, elements: number]> = [
    ['embed_tokens', 4096 * hidden * scale],
    ['norm', hidden],
  ];
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `layers.${layer}.`;
    rows.push([`${prefix}input_layernorm`, hidden], [`${prefix}post_attention_layernorm`, hidden]);
    for (const name of ['q', 'k', 'v', 'o']) {
      rows.push([`${prefix}self_attn.${name}_proj`, hidden * hidden * scale]);
    }
    for (const name of ['down', 'gate', 'up']) {
      rows.push([`${prefix}mlp.${name}_proj`, 2 * hidden * hidden * scale]);
    }
  }
  rows.sort(([a], [b]) => (a < b ? -1 : 1));
  return rows.map(([name, elements], i) => ({ name, bytes: weightBytes(i + 1, 2 * elements) }));
}

/** The same parts, with other bytes under the names that are chosen, as after training. */
export function tuned(
  parts: readonly Part[],
  chosen: (name: string) => boolean,
): { parts: Part[]; changed: number } {
  let changed = 0;
  const result = parts.map((part, i) => {
    if (!chosen(part.name)) return part;
    changed += part.bytes.length;
    return { name: part.name, bytes: weightBytes(1000 + i, part.bytes.length) };
  });
  return { parts: result, changed };
}

/** The parts in an order that mixes them up, always the same. */
export function mixed(parts: readonly Part[]): Part[] {
  return parts.map((_, i) => parts[(i * 17 + 5) % parts.length] as Part);
}

/** Bytes that a store which has the files of one version takes for those of another. */
export async function bytesNewFor(
  first: readonly Buffer[],
  second: readonly Buffer[],
): Promise<number> {
  const folder = tempFolder();
  let bytesNew = 0;
  for (const files of [first, second]) {
    const writer = new BlobWriter(new Store(path.join(folder, 'store')));
    try {
      for (const bytes of files) {
        const file = path.join(folder, 'source');
        fs.writeFileSync(file, bytes);
        await writer.addFile(file);
      }
      bytesNew = (await writer.finish()).bytesNew;
    } finally {
      writer.close();
    }
  }
  return bytesNew;
}

/**
 * Checks the promise of hard cuts: an edit of the structure costs what truly changed, two in a hundred
 * more, and 64 KiB for headers and what lies between large parts.
 * @param more bytes that this edit may cost besides, for a reason that its test gives
 */
export async function expectWithinGate(
  first: readonly Buffer[],
  { name, files, changed }: Edit,
  more = 0,
): Promise<void> {
  const bytesNew = await bytesNewFor(first, files);
  expect(bytesNew, name).toBeLessThanOrEqual(changed * 1.02 + 64 * kib + more);
  expect(bytesNew, name).toBeGreaterThanOrEqual(changed);
}
