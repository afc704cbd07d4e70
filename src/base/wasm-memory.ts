/** The little of WebAssembly that is used; its published types come with those of browsers. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Memory: {
    new (size: { initial: number; maximum: number; shared: true }): WasmMemory;
    new (size: { initial: number }): { readonly buffer: ArrayBuffer };
  };
  readonly Instance: new (
    module: WasmModule,
    imports: { env: { memory: WasmMemory } },
  ) => { readonly exports: Record<string, unknown> };
};

/** A compiled module. */
export type WasmModule = object;

/** Shared memory that modules and threads work on. It starts at a page of the machine. */
export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
}

/** Bytes of a page of WebAssembly. */
export const wasmPageBytes = 64 * 1024;

/** Memories made here, which start at pages of the machine, as other memory need not. */
const paged = new WeakSet<object>();
/** Bytes of a page of the machine, or of several: a place at a multiple of it suits any disk. */
const machinePageBytes = 4096;

/** Tells whether bytes are known to start at a page of the machine. */
export function startsAtPage({ buffer, byteOffset }: Uint8Array): boolean {
  return byteOffset % machinePageBytes === 0 && paged.has(buffer);
}

/** Makes shared memory. */
export function makeWasmMemory(pages: number, pagesMax = pages): WasmMemory {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pagesMax, shared: true });
  paged.add(memory.buffer);
  return memory;
}

/**
 * Makes memory of this thread alone that starts at a page of the machine, as reads and writes past the
 * page cache ask for. It is copied several times as fast as shared memory.
 */
export function makePages(bytes: number): Buffer {
  const { buffer } = new WebAssembly.Memory({ initial: Math.ceil(bytes / wasmPageBytes) });
  paged.add(buffer);
  return Buffer.from(buffer, 0, bytes);
}

/** Compiles a module; throws when the machine lacks a feature that it uses. */
export function compileWasm(bytes: Uint8Array): WasmModule {
  return new WebAssembly.Module(bytes);
}

/** Makes an instance of a module that works on a memory, and returns what it exports. */
export function instantiateWasm(module: WasmModule, memory: WasmMemory): Record<string, unknown> {
  return new WebAssembly.Instance(module, { env: { memory } }).exports;
}
