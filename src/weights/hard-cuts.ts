import type { ByteReader } from './byte-reader.ts';
import { cutsAround, insideFile } from './extents.ts';
import { looksLikeGguf, readGgufLayout } from './gguf.ts';
import { looksLikeOnnx, readOnnxTensors } from './onnx.ts';
import { readSafetensorsLayout } from './safetensors.ts';
import { looksLikeZip, readZipMembers } from './zip.ts';

/** The rules for hard cuts that are followed, by name, as `mstore.json` lists them. */
export const hardCutRules = ['safetensors', 'gguf', 'onnx', 'zip'] as const;

/**
 * Finds the offsets at which chunks of a model file must end: behind its header, and at both ends of
 * every tensor of at least `tensorBytesMin` bytes. Content decides, never the file's name. Changed
 * headers, added or reordered tensors and other shards then share all tensors that stayed the same.
 * @returns offsets strictly inside the file, ascending, none twice; none for other or damaged files
 */
export function findHardCuts(file: ByteReader, tensorBytesMin: number): number[] {
  const head = file.read(0, 16);
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  if (looksLikeGguf(view)) return ggufCuts(file, tensorBytesMin);
  if (looksLikeZip(view)) {
    return cutsAround(readZipMembers(file, tensorBytesMin) ?? [], file.size, tensorBytesMin);
  }
  const safetensors = safetensorsCuts(file, tensorBytesMin);
  if (safetensors !== undefined || !looksLikeOnnx(view)) return safetensors ?? [];
  return cutsAround(readOnnxTensors(file, tensorBytesMin) ?? [], file.size, tensorBytesMin);
}

function safetensorsCuts(file: ByteReader, tensorBytesMin: number): number[] | undefined {
  const layout = readSafetensorsLayout(file);
  if (layout === undefined) return undefined;
  const cuts = new Set<number>([layout.dataStart]);
  for (const { start, end } of layout.tensors) {
    if (end - start < tensorBytesMin) continue;
    cuts.add(start);
    cuts.add(end);
  }
  return insideFile(cuts, file.size);
}

function ggufCuts(file: ByteReader, tensorBytesMin: number): number[] {
  const layout = readGgufLayout(file, tensorBytesMin);
  if (layout === undefined) return [];
  const { dataStart, tensors, values } = layout;
  return cutsAround([...values, ...tensors], file.size, tensorBytesMin, [dataStart]);
}
