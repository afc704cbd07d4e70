import { MstoreError } from '../base/errors.ts';
import { drain, type GcsPlace, type ObjectResource } from './gcs-client.ts';
import { notGcsAnswer, unfinishedError, uploadGoneError } from './gcs-errors.ts';
import type { HttpAnswer } from './http-exchange.ts';

/** What the service answers while it waits for more of an upload. */
const waiting = 308;

/** A part of an object, as it is sent. */
export interface GcsPart {
  readonly bytes: Buffer;
  /** Where it starts in the object. */
  readonly start: number;
  /** Checksum of the whole object in base64; set for the last part alone. */
  readonly crc32c?: string | undefined;
}

/** An upload that takes one part after another; nothing of it is visible before the last. */
export class GcsUpload {
  readonly #gcs: GcsPlace;
  readonly #attempt: string;
  readonly #path: string;
  readonly #total: number;

  private constructor(gcs: GcsPlace, attempt: string, path: string, total: number) {
    this.#gcs = gcs;
    this.#attempt = attempt;
    this.#path = path;
    this.#total = total;
  }

  /**
   * Begins an upload.
   * @param begun the answer to the request for it
   * @param total bytes of the object
   */
  static async at(
    gcs: GcsPlace,
    attempt: string,
    begun: HttpAnswer,
    total: number,
  ): Promise<GcsUpload> {
    const location = begun.header('location');
    await drain(begun);
    const url = URL.canParse(location ?? '') ? new URL(location ?? '') : undefined;
    if (!url?.searchParams.has('upload_id')) throw notGcsAnswer(attempt, gcs.location);
    // Its host is left aside: credentials stay with the endpoint, and emulators name hosts of their own.
    return new GcsUpload(gcs, attempt, url.pathname + url.search, total);
  }

  /**
   * Sends a part. One that fails is tried again by the policy of the remote, from the first byte on that
   * the service says it lacks.
   * @returns the object once it is whole, else undefined
   * @throws MstoreError `remote-unreachable` when the upload is gone
   */
  async send(
    part: GcsPart,
    signal: AbortSignal | undefined,
  ): Promise<Partial<ObjectResource> | undefined> {
    let from = part.start;
    let repeated = false;
    const once = async () => {
      if (repeated) {
        const state = await this.#ask(signal);
        if (typeof state !== 'number') return state;
        // The bytes before this part are no more at hand.
        if (state < part.start) throw new UploadGone();
        from = state;
      }
      repeated = true;
      return this.#sendFrom(part, from, signal);
    };
    try {
      return await (this.#gcs.options.policy?.again(once, signal) ?? once());
    } catch (error) {
      if (error instanceof UploadGone) throw uploadGoneError(this.#attempt, this.#gcs.location);
      throw error;
    }
  }

  /** Ends an upload of which nothing can become. Its own failure is nobody's concern. */
  async end(): Promise<void> {
    try {
      // Without the signal of the write: it may be what ended it. 499 is the answer to this request.
      const how = { method: 'DELETE', path: this.#path, upload: true, accept: [499] } as const;
      await drain(await this.#gcs.call('end an upload to', undefined, how));
    } catch {
      // The error of the write counts. The service forgets uploads after a week.
    }
  }

  async #sendFrom(
    { bytes, start, crc32c }: GcsPart,
    from: number,
    signal: AbortSignal | undefined,
  ): Promise<Partial<ObjectResource> | undefined> {
    const end = start + bytes.length;
    for (let at = from; ; ) {
      const answer = await this.#put(signal, {
        headers: {
          'content-range': `bytes ${at}-${end - 1}/${this.#total}`,
          ...(crc32c === undefined ? {} : { 'x-goog-hash': `crc32c=${crc32c}` }),
        },
        body: [bytes.subarray(at - start)],
      });
      if (typeof answer !== 'number') return answer;
      if (answer === end && crc32c === undefined) return undefined;
      // It may keep less than was sent, but must get on, and end with the last byte.
      if (answer <= at || answer >= end) throw unfinishedError(this.#attempt, this.#gcs.location);
      at = answer;
    }
  }

  /** Asks how much of the upload has arrived, or for the object when it is whole. */
  #ask(signal: AbortSignal | undefined): Promise<Partial<ObjectResource> | number> {
    return this.#put(signal, { headers: { 'content-range': `bytes */${this.#total}` }, body: [] });
  }

  /** Returns how many bytes the service has, from the first on; or the object. */
  async #put(
    signal: AbortSignal | undefined,
    how: { headers: Record<string, string>; body: Uint8Array[] },
  ): Promise<Partial<ObjectResource> | number> {
    const call = { method: 'PUT', path: this.#path, upload: true, accept: [waiting] } as const;
    try {
      const answer = await this.#gcs.call(this.#attempt, signal, { ...call, ...how });
      if (answer.status !== waiting) return await this.#gcs.parsed(this.#attempt, signal, answer);
      const range = answer.header('range');
      const [, last] = /^bytes=0-(\d+)$/.exec(range ?? '') ?? [];
      await drain(answer);
      return last === undefined ? 0 : Number(last) + 1;
    } catch (error) {
      const gone = error instanceof MstoreError && error.details['reason'] === 'upload-gone';
      throw gone ? new UploadGone() : this.#gcs.failure(error, this.#attempt, signal);
    }
  }
}

/** Nothing that trying a part again can mend: all of the object has to be sent anew. */
class UploadGone extends Error {}
