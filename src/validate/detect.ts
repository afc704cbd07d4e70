import type { ByteReader } from '../weights/byte-reader.ts';
import { isOnnx } from '../weights/onnx.ts';
import { looksLikeSafetensors } from '../weights/safetensors-tensors.ts';
import { looksLikeHdf5 } from './hdf5.ts';
import { looksLikeNpy } from './npy.ts';
import { seemsPickle } from './pickle.ts';
import { looksLikeTflite } from './tflite.ts';
import { looksLikeLegacyTorch } from './torch.ts';

/** What the content of a file is, before it is looked into. */
export type Content =
  | 'safetensors'
  | 'gguf'
  | 'onnx'
  | 'zip'
  | 'torch-legacy'
  | 'pickle'
  | 'hdf5'
  | 'tflite'
  | 'npy'
  | 'json'
  | 'tar'
  | 'gzip'
  | 'zlib'
  | 'xz'
  | 'bz2'
  | 'lz4'
  | '7z'
  | 'zstd'
  | 'rar';

/** Archives and streams that are looked into only where a model is wrapped in them. */
export const wrappings: ReadonlySet<Content> = new Set<Content>([
  ...(['tar', 'gzip', 'zlib', 'xz', 'bz2', 'lz4', '7z', 'zstd', 'rar'] as const),
]);

const magics: ReadonlyArray<readonly [string, Content]> = [
  ['47475546', 'gguf'],
  ['504b0304', 'zip'],
  ['504b0506', 'zip'],
  ['1f8b08', 'gzip'],
  ['fd377a585a00', 'xz'],
  ['425a68', 'bz2'],
  ['04224d18', 'lz4'],
  ['377abcaf271c', '7z'],
  ['28b52ffd', 'zstd'],
  ['526172211a07', 'rar'],
];

/** Bytes of the start of a file that tell most formats. */
export const headBytes = 512;

/**
 * Tells what a file is by its content.
 * @param head its first 512 bytes, or all
 * @param expected what its name says. Where it says nothing, numbers of all kinds are to be expected, so the weaker
 * signs need more to count
 */
export function detectContent(
  file: ByteReader,
  head: Uint8Array,
  expected: Expected | undefined,
): Content | undefined {
  const isNamed = expected !== undefined;
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.length);
  const hex = bytes.subarray(0, 8).toString('hex');
  const found = magics.find(([magic]) => hex.startsWith(magic))?.[1];
  if (found !== undefined) return found;
  if (looksLikeLegacyTorch(head)) return 'torch-legacy';
  if (looksLikeTflite(head)) return 'tflite';
  if (looksLikeNpy(head)) return 'npy';
  if (isTar(bytes)) return 'tar';
  if (looksLikeSafetensors(new DataView(head.buffer, head.byteOffset, head.length), file.size))
    if (isNamed || /^["} ]/.test(bytes.toString('latin1', 9, 10))) return 'safetensors';
  if (bytes[0] === 0x80 && (bytes[1] ?? 0) >= 2 && (bytes[1] ?? 9) <= 5)
    return isNamed || seemsPickle(file) ? 'pickle' : undefined;
  if (bytes[0] === 0x78 && [0x01, 0x5e, 0x9c, 0xda].includes(bytes[1] ?? 0)) return 'zlib';
  if (isNamed && /^(?:\xef\xbb\xbf)?\s*[{[]/.test(bytes.toString('latin1'))) return 'json';
  if (bytes[0] === 0x08 && isOnnx(file)) return 'onnx';
  return isHdf5Likely(bytes) && looksLikeHdf5(file) ? 'hdf5' : undefined;
}

/** Old archives have no magic, but a sum of the bytes of the first header. */
function isTar(head: Buffer): boolean {
  if (head.subarray(257, 262).toString('latin1') === 'ustar') return true;
  if (head.length < headBytes || head[0] === 0) return false;
  const told = Number.parseInt(head.subarray(148, 156).toString('latin1').trim(), 8);
  if (!(told > 0)) return false;
  const sum = head.reduce((all, byte, i) => all + (i >= 148 && i < 156 ? 0x20 : byte), 0);
  return sum === told;
}

/** A user block of HDF5 may hold anything; only where the file starts as one, or with zeros, it is looked for. */
function isHdf5Likely(head: Buffer): boolean {
  return head[0] === 0x89 || head.every((byte) => byte === 0);
}

/** What a name says of the content of a file. */
export type Expected =
  | 'safetensors'
  | 'gguf'
  | 'onnx'
  | 'torch'
  | 'pickle'
  | 'keras'
  | 'hdf5'
  | 'saved-model'
  | 'tflite'
  | 'npy'
  | 'npz'
  | 'json'
  | 'labels'
  | 'code';

const suffixes: ReadonlyArray<readonly [RegExp, Expected]> = [
  [/\.safetensors$/i, 'safetensors'],
  [/\.gguf$/i, 'gguf'],
  [/\.onnx$/i, 'onnx'],
  [/\.(?:pt|pth|pt2|torchscript)$/i, 'torch'],
  [/^pytorch_model.*\.bin$/i, 'torch'],
  [/\.(?:pkl|pickle|joblib)$/i, 'pickle'],
  [/\.keras$/i, 'keras'],
  [/\.(?:h5|hdf5)$/i, 'hdf5'],
  [/^saved_model\.pb$/, 'saved-model'],
  [/\.tflite$/i, 'tflite'],
  [/\.npy$/i, 'npy'],
  [/\.npz$/i, 'npz'],
  [/\.json$/i, 'json'],
  [/^labels\.txt$/i, 'labels'],
  [/\.py$/i, 'code'],
];

/** Tells what a file should be by its name; undefined for names that say nothing. */
export function expectedFormat(name: string): Expected | undefined {
  return suffixes.find(([pattern]) => pattern.test(name))?.[1];
}

/** Names under which programs look for a pickle, in any wrapping. */
const modelName =
  /\.(?:pt|pth|pt2|bin|ckpt|pkl|pickle|joblib|model|npy|npz|keras|h5|onnx|safetensors|gguf)(?:\.(?:gz|z|xz|lzma|bz2|lz4|zst|7z))?$/i;

/** Tells whether a file has the name of a model. */
export function hasModelName(name: string): boolean {
  return modelName.test(name);
}

/** Names of texts, pictures, sounds, tables and programs, which no loader of models takes. */
const otherName =
  /\.(?:txt|md|rst|csv|tsv|log|xml|html?|css|ya?ml|toml|ini|cfg|pdf|jpe?g|png|gif|webp|bmp|tiff?|svg|wav|mp3|flac|ogg|mp4|avi|mov|mkv|webm|parquet|arrow|feather|py|ipynb|js|ts|c|h|cc|cpp|cu|rs|go|java|sh)$/i;

/** Tells whether a file may be one of a model by its name: of some, it is known that they are not. */
export function mayBeModel(name: string): boolean {
  const expected = expectedFormat(name);
  return expected === undefined ? !otherName.test(name) : expected !== 'code';
}
