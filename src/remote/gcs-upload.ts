import { MstoreError } from '../base/errors.ts';
import type { GcsPlace, ObjectResource } from './gcs-client.ts';
import { notGcsAnswer, unfinishedError, uploadGoneError } from './gcs-errors.ts';
import { drain } from './http-answers.ts';
import type { HttpAnswer } from './http-exchange.ts';
import type { RemoteCallOptions } from './remote.ts';

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
  readonly #asks: boolean;

  private constructor(
    gcs: GcsPlace,
    attempt: string,
    { path, total, asks }: { path: string; total: number; asks: boolean },
  ) {
    this.#gcs = gcs;
    this.#attempt = attempt;
    this.#path = path;
    this.#total = total;
    this.#asks = asks;
  }

  /**
   * Takes the upload that an answer tells of.
   * @param begun the answer to the request for it, which is read to its end
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
    const path = url.pathname + url.search;
    // The service numbers its answers; emulators do not, and take the question how much they have for
    // the end of the upload, so that half an object appears.
    const asks = begun.header('x-guploader-uploadid') !== undefined;
    return new GcsUpload(gcs, attempt, { path, total, asks });
  }

  /**
   * Sends a part. One that fails is tried again by the policy of the remote, from the first byte on that
   * the service says it lacks; where it must not be asked, the upload is given up.
   * @returns the object once it is whole, else undefined
   * @throws MstoreError `remote-unreachable` when the upload is gone
   */
  async send(
    part: GcsPart,
    options: RemoteCallOptions | undefined,
  ): Promise<Partial<ObjectResource> | undefined> {
    let from = part.start;
    let repeated = false;
    const once = async () => {
      if (repeated) {
        if (!this.#asks) throw new UploadGone();
        const state = await this.#ask(options);
        if (typeof state !== 'number') return state;
        // The bytes before this part are no more at hand.
        if (state < part.start) throw new UploadGone();
        from = state;
      }
      repeated = true;
      return this.#sendFrom(part, from, options);
    };
    try {
      return await (this.#gcs.options.policy?.again(once, options?.signal) ?? once());
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
      await this.#gcs.call('end an upload to', undefined, how, drain);
    } catch {
      // The error of the write counts. The service forgets uploads after a week.
    }
  }

  async #sendFrom(
    { bytes, start, crc32c }: GcsPart,
    from: number,
    options: RemoteCallOptions | undefined,
  ): Promise<Partial<ObjectResource> | undefined> {
    const end = start + bytes.length;
    for (let at = from; ; ) {
      const answer = await this.#put(options, {
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
  #ask(options: RemoteCallOptions | undefined): Promise<Partial<ObjectResource> | number> {
    return this.#put(options, { headers: { 'content-range': `bytes */${this.#total}` }, body: [] });
  }

  /** Returns how many bytes the service has, from the first on; or the object. */
  async #put(
    options: RemoteCallOptions | undefined,
    how: { headers: Record<string, string>; body: Uint8Array[] },
  ): Promise<Partial<ObjectResource> | number> {
    const call = { method: 'PUT', path: this.#path, upload: true, accept: [waiting] } as const;
    const read = async (answer: HttpAnswer): Promise<Partial<ObjectResource> | number> => {
      if (answer.status !== waiting) return this.#gcs.parsed(this.#attempt, answer);
      const range = answer.header('range');
      const [, last] = /^bytes=0-(\d+)$/.exec(range ?? '') ?? [];
      await drain(answer);
      return last === undefined ? 0 : Number(last) + 1;
    };
    try {
      return await this.#gcs.call(this.#attempt, options, { ...call, ...how }, read);
    } catch (error) {
      const gone = error instanceof MstoreError && error.details['reason'] === 'upload-gone';
      throw gone ? new UploadGone() : error;
    }
  }
}

/** Nothing that trying a part again can mend: all of the object has to be sent anew. */
class UploadGone extends Error {}
