import type { Neighbours, Source } from '../../src/validate/source.ts';
import { type FileValidation, validateFile } from '../../src/validate/validate.ts';

/** A source of bytes that counts how many are read. */
export class CountedSource implements Source {
  readonly path: string;
  readonly size: number;
  readonly linked?: boolean;
  bytesRead = 0;
  opened = 0;
  readonly #bytes: Uint8Array;

  constructor(path: string, bytes: Uint8Array, size = bytes.length, linked = false) {
    this.path = path;
    this.size = size;
    this.#bytes = bytes;
    if (linked) this.linked = linked;
  }

  open(): ReturnType<Source['open']> {
    this.opened++;
    return {
      size: this.size,
      read: (offset, length) => {
        const bytes = Buffer.alloc(Math.max(0, Math.min(length, this.size - offset)));
        Buffer.from(this.#bytes.subarray(offset, offset + bytes.length)).copy(bytes);
        this.bytesRead += bytes.length;
        return bytes;
      },
      close: () => {
        this.opened--;
      },
    };
  }
}

/** The files of one folder, by path. */
function filesAround(files: Readonly<Record<string, Uint8Array>>): Neighbours {
  return {
    find: (path) =>
      Object.hasOwn(files, path) ? new CountedSource(path, files[path] as Uint8Array) : undefined,
  };
}

/** Validates bytes under a name. */
export function validateBytes(
  name: string,
  bytes: Uint8Array,
  around?: Readonly<Record<string, Uint8Array>>,
): FileValidation {
  const source = new CountedSource(name, bytes);
  const result = validateFile(source, around === undefined ? {} : { around: filesAround(around) });
  if (source.opened !== 0) throw new Error('The file was left open');
  return result;
}

/** The rules that a file breaks, sorted, each once. */
export function brokenRules({ findings }: FileValidation): string[] {
  return [...new Set(findings.map(({ rule }) => rule))].sort();
}
