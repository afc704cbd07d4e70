import { ggufBlocks } from './gguf.ts';

/** Types of tensors in safetensors by their bits. Source: safetensors/src/tensor.rs of huggingface/safetensors. */
const safetensorsByBits: Readonly<Record<number, readonly string[]>> = {
  4: ['F4'],
  6: ['F6_E2M3', 'F6_E3M2'],
  8: ['BOOL', 'U8', 'I8', 'F8_E5M2', 'F8_E4M3', 'F8_E8M0', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'],
  16: ['I16', 'U16', 'F16', 'BF16'],
  32: ['I32', 'U32', 'F32'],
  64: ['C64', 'F64', 'I64', 'U64'],
};

/** Bits of one element by the name of its type in safetensors. */
export const safetensorsBits: ReadonlyMap<string, number> = new Map(
  Object.entries(safetensorsByBits).flatMap(([bits, names]) =>
    names.map((name) => [name, Number(bits)] as const),
  ),
);

/** Names of the types of tensors in GGUF. Source: ggml.h of ggml-org/ggml. */
export const ggufTypeNames: Readonly<Record<number, string>> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  3: 'Q4_1',
  6: 'Q5_0',
  7: 'Q5_1',
  8: 'Q8_0',
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  12: 'Q4_K',
  13: 'Q5_K',
  14: 'Q6_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  30: 'BF16',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
  40: 'NVFP4',
  41: 'Q1_0',
  42: 'Q2_0',
};

/** Elements and bytes of a block in GGUF; types that came after the cut rules were fixed are added here. */
export const ggufTypeBlocks: Readonly<Record<number, readonly [elements: number, bytes: number]>> =
  {
    ...ggufBlocks,
    40: [64, 36],
    41: [128, 18],
    42: [64, 18],
  };

/** Names and bits of the types of tensors in ONNX, by number. Source: onnx/onnx.proto of onnx/onnx. */
export const onnxTypes: ReadonlyArray<readonly [name: string, bits: number | undefined]> = [
  ['UNDEFINED', undefined],
  ['FLOAT', 32],
  ['UINT8', 8],
  ['INT8', 8],
  ['UINT16', 16],
  ['INT16', 16],
  ['INT32', 32],
  ['INT64', 64],
  ['STRING', undefined],
  ['BOOL', 8],
  ['FLOAT16', 16],
  ['DOUBLE', 64],
  ['UINT32', 32],
  ['UINT64', 64],
  ['COMPLEX64', 64],
  ['COMPLEX128', 128],
  ['BFLOAT16', 16],
  ['FLOAT8E4M3FN', 8],
  ['FLOAT8E4M3FNUZ', 8],
  ['FLOAT8E5M2', 8],
  ['FLOAT8E5M2FNUZ', 8],
  ['UINT4', 4],
  ['INT4', 4],
  ['FLOAT4E2M1', 4],
  ['FLOAT8E8M0', 8],
  ['UINT2', 2],
  ['INT2', 2],
];
