import { invariant } from '../base/errors.ts';
import { programFile } from '../base/program-files.ts';
import {
  compileWasm,
  instantiateWasm,
  makeWasmMemory,
  type WasmModule,
  wasmPageBytes,
} from '../base/wasm-memory.ts';
import type { Scan } from './scan.ts';

/** Which compiled kernel searches for cuts. */
export type KernelKind = 'simd' | 'scalar';

/** Both kernels are compiled for a memory of at most 256 MiB. */
const pagesMax = 4096;

const modules = new Map<KernelKind, WasmModule | undefined>();

/** Loads a kernel; undefined where the machine or the build does not have it. */
function kernelModule(kind: KernelKind): WasmModule | undefined {
  if (modules.has(kind)) return modules.get(kind);
  let module: WasmModule | undefined;
  try {
    const name = kind === 'simd' ? 'mh8.wasm' : 'mh8-scalar.wasm';
    module = compileWasm(programFile(`dist/chunk/${name}`));
  } catch {
    module = undefined;
  }
  modules.set(kind, module);
  return module;
}

/** Memory that a kernel works on, and the search in it. */
export interface Kernel {
  /** Shared memory, page-aligned; {@link Kernel.scan} takes views of it only. */
  readonly bytes: Buffer;
  readonly scan: Scan;
  /**
   * Copies `source` to `target[at]`, several times as fast as the language does between views of shared
   * memory; both are views of the kernel's.
   */
  readonly copy: (target: Uint8Array, at: number, source: Uint8Array) => void;
}

/**
 * Makes working memory with a compiled search. It finds exactly the cuts of the reference
 * implementation, some ten times faster.
 * @param bytes size of the memory, a multiple of 64 KiB
 * @param kinds the kernels to try, in this order
 * @returns undefined when none of them runs here: the reference implementation does the work then
 */
export function makeKernel(
  bytes: number,
  kinds: readonly KernelKind[] = ['simd', 'scalar'],
): Kernel | undefined {
  invariant(
    bytes % wasmPageBytes === 0 && bytes < pagesMax * wasmPageBytes,
    'the memory fits the kernel',
  );
  for (const kind of kinds) {
    const module = kernelModule(kind);
    if (module === undefined) continue;
    // One page more: the search reads some bytes before the first position and behind the last.
    const pages = bytes / wasmPageBytes + 2;
    const memory = makeWasmMemory(pages, pagesMax);
    const { scan: search, copy: move } = instantiateWasm(module, memory) as {
      scan: (from: number, to: number, threshold: number) => number;
      copy: (target: number, source: number, bytes: number) => void;
    };
    const scan: Scan = (view, from, to, threshold) => {
      invariant(view.buffer === memory.buffer, 'the bytes lie in the memory of the kernel');
      const hit = search(view.byteOffset + from, view.byteOffset + to, threshold);
      return hit === -1 ? -1 : hit - view.byteOffset;
    };
    const copy: Kernel['copy'] = (target, at, source) => {
      invariant(
        target.buffer === memory.buffer && source.buffer === memory.buffer,
        'the bytes lie in the memory of the kernel',
      );
      invariant(at + source.length <= target.length, 'what is copied has room');
      move(target.byteOffset + at, source.byteOffset, source.length);
    };
    return { bytes: Buffer.from(memory.buffer, wasmPageBytes, bytes), scan, copy };
  }
  return undefined;
}
