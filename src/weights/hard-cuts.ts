import type { ByteReader } from './byte-reader.ts';
import { readSafetensorsLayout } from './safetensors.ts';

/** The header rules of format 1, by name, as `mstore.json` lists them. */
export const hardCutRules = ['safetensors'] as const;

/**
 * Finds the offsets at which chunks of a model file must end: behind its header, and at both ends of
 * every tensor of at least `tensorBytesMin` bytes. Content decides, never the file's name. Changed
 * headers, added or reordered tensors and other shards then share all tensors that stayed the same.
 * @returns offsets strictly inside the file, ascending, none twice; none for other or damaged files
 */
export function findHardCuts(file: ByteReader, tensorBytesMin: number): number[] {
  const layout = readSafetensorsLayout(file);
  if (layout === undefined) return [];
  const cuts = new Set<number>([layout.dataStart]);
  for (const { start, end } of layout.tensors) {
    if (end - start < tensorBytesMin) continue;
    cuts.add(start);
    cuts.add(end);
  }
  return [...cuts].filter((cut) => cut > 0 && cut < file.size).sort((a, b) => a - b);
}
