import * as fs from 'node:fs';
import { fromSystemError } from '../base/errors.ts';
import { printable } from '../base/names.ts';

/** Bytes of a file of records; then it is put aside as FILE.1, and the one before is removed. */
const bytesMax = 256 * 1024 * 1024;

/** Writes down what monitors are told, a line of JSON each, for `mstore simulate`. */
export class Recorder {
  readonly #file: string;
  readonly #now: () => number;
  readonly #onError: (error: unknown) => void;
  #fd: number;
  #bytes: number;

  /**
   * @param now milliseconds since 1970
   * @throws MstoreError where the file cannot be written
   */
  constructor(file: string, now: () => number, onError: (error: unknown) => void) {
    this.#file = file;
    this.#now = now;
    this.#onError = onError;
    try {
      this.#fd = fs.openSync(file, 'a');
      this.#bytes = fs.fstatSync(this.#fd).size;
    } catch (error) {
      throw fromSystemError(error, `opening ${printable(file)}`);
    }
  }

  /** Adds a line. What fails is told, and no more than that: nobody's request is to fail for it. */
  note(facts: object): void {
    const at = new Date(this.#now()).toISOString();
    const line = Buffer.from(`${JSON.stringify({ at, ...facts })}\n`);
    try {
      if (this.#bytes > 0 && this.#bytes + line.length > bytesMax) this.#turn();
      this.#bytes += fs.writeSync(this.#fd, line);
    } catch (error) {
      this.#onError(error);
    }
  }

  #turn(): void {
    fs.closeSync(this.#fd);
    fs.renameSync(this.#file, `${this.#file}.1`);
    this.#fd = fs.openSync(this.#file, 'a');
    this.#bytes = 0;
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}
