import { crc32c } from '@node-rs/crc32';
import { GoogleAuth } from 'google-auth-library';
import { expect, it } from 'vitest';
import type { GcsTarget } from '../support/gcs-target.ts';
import { freshFolder } from '../support/service-target.ts';

/** What the backend builds on, as one server answers it. */
type Facts = Readonly<Record<string, string>>;

/** Where a server differs from Google's own, and why that is borne. */
export type GcsDeviations = Readonly<Record<string, { readonly is: string; readonly why: string }>>;

/** The least size of a part that is not the last. */
const partBytes = 256 * 1024;

/** The facts of Google's own service. */
const facts: Facts = {
  'a second write of a name that must be free': '412 conditionNotMet',
  'writes of one name at once': '1 of 16 done',
  'a write with a wrong checksum': '400 invalid',
  'an upload of a name that is taken': '412 conditionNotMet',
  'an upload that ends behind a faster write': '412 conditionNotMet',
  'an upload, once it has begun': 'its answer has a number',
  'a part': '308, it has 262144 bytes',
  'the question how much an upload has': '308, it has 262144 bytes',
  'an upload whose last part has a wrong checksum': '400 invalid',
  'an upload that was ended': '499, then refused',
  'a range': '206 bytes 1-2/5',
  'a range behind the end': '416',
  'a read of nothing': '404',
  'a list of a bucket that is missing': '404 notFound',
};

const crcText = (text: string | Buffer): string => {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32c(text));
  return sum.toString('base64');
};

/** Asks a server for all facts. */
class Questions {
  readonly #target: GcsTarget;
  readonly #folder = freshFolder();
  readonly #auth = new GoogleAuth({
    // No request needs it, and looking for it asks other services.
    projectId: 'none',
    scopes: 'https://www.googleapis.com/auth/devstorage.read_write',
  });

  constructor(target: GcsTarget) {
    this.#target = target;
  }

  async ask(): Promise<Facts> {
    await this.#write('taken');
    const racers = await Promise.all(Array.from({ length: 16 }, () => this.#write('race')));
    return {
      'a second write of a name that must be free': await this.#write('taken'),
      'writes of one name at once': `${racers.filter((answer) => answer === '200').length} of 16 done`,
      'a write with a wrong checksum': await this.#write('damaged', crcText('other')),
      'an upload of a name that is taken': await this.#uploadOfTaken(),
      'an upload that ends behind a faster write': await this.#slowUpload(),
      ...(await this.#uploadInParts()),
      'an upload that was ended': await this.#endedUpload(),
      'a range': await this.#read('taken', { range: 'bytes=1-2' }),
      'a range behind the end': await this.#read('taken', { range: 'bytes=99-100' }),
      'a read of nothing': await this.#read('nothing'),
      'a list of a bucket that is missing': await this.#answer(
        'GET',
        `/storage/v1/b/no-${this.#folder}/o`,
      ).then(wordOf),
    };
  }

  async #answer(
    method: string,
    path: string,
    { headers = {}, body }: { headers?: Record<string, string>; body?: string | Buffer } = {},
  ): Promise<Response> {
    const { endpoint, signedIn, project } = this.#target;
    const url = new URL(path, endpoint);
    if (project !== undefined) url.searchParams.set('userProject', project);
    const signed = signedIn ? await this.#auth.getRequestHeaders() : {};
    return fetch(url, {
      method,
      headers: { ...headers, ...signed },
      ...(body === undefined ? {} : { body }),
    });
  }

  #newObject(name: string, uploadType: string): string {
    const key = encodeURIComponent(`${this.#target.prefix}${this.#folder}/${name}`);
    const query = `uploadType=${uploadType}&ifGenerationMatch=0&name=${key}`;
    return `/upload/storage/v1/b/${this.#target.bucket}/o?${query}`;
  }

  /** Writes five bytes. */
  async #write(name: string, sum = crcText('bytes')): Promise<string> {
    const part = (type: string, text: string) => `--b\r\ncontent-type: ${type}\r\n\r\n${text}\r\n`;
    const resource = part('application/json', JSON.stringify({ crc32c: sum }));
    const body = `${resource}${part('application/octet-stream', 'bytes')}--b--\r\n`;
    const headers = { 'content-type': 'multipart/related; boundary=b' };
    return wordOf(
      await this.#answer('POST', this.#newObject(name, 'multipart'), { headers, body }),
    );
  }

  async #begin(name: string): Promise<Response> {
    const headers = { 'content-type': 'application/json' };
    const path = this.#newObject(name, 'resumable');
    return this.#answer('POST', path, { headers, body: '{}' });
  }

  /** Begins an upload, and returns what sends parts of it. */
  async #upload(name: string) {
    const begun = await this.#begin(name);
    await begun.arrayBuffer();
    const { pathname, search } = new URL(begun.headers.get('location') ?? 'http://none');
    const path = pathname + search;
    return {
      path,
      numbered: begun.headers.has('x-guploader-uploadid'),
      put: (range: string, body: Buffer | string, headers = {}) =>
        this.#answer('PUT', path, { headers: { 'content-range': range, ...headers }, body }),
    };
  }

  async #uploadOfTaken(): Promise<string> {
    return wordOf(await this.#begin('taken'));
  }

  async #slowUpload(): Promise<string> {
    const { put } = await this.#upload('slow');
    await this.#write('slow');
    return wordOf(await put('bytes 0-4/5', 'other'));
  }

  async #uploadInParts(): Promise<Facts> {
    const { put, numbered } = await this.#upload('parts');
    const total = partBytes + 1;
    const first = await put(`bytes 0-${partBytes - 1}/${total}`, Buffer.alloc(partBytes));
    const asked = await put(`bytes */${total}`, '');
    const upload = await this.#upload('wrong');
    await stateOf(await upload.put(`bytes 0-${partBytes - 1}/${total}`, Buffer.alloc(partBytes)));
    const wrong = { 'x-goog-hash': `crc32c=${crcText('other')}` };
    const last = await upload.put(`bytes ${partBytes}-${partBytes}/${total}`, 'x', wrong);
    return {
      'an upload, once it has begun': `its answer has ${numbered ? 'a' : 'no'} number`,
      'a part': await stateOf(first),
      'the question how much an upload has': await stateOf(asked),
      'an upload whose last part has a wrong checksum': await wordOf(last),
    };
  }

  async #endedUpload(): Promise<string> {
    const { path, put } = await this.#upload('ended');
    const ended = await this.#answer('DELETE', path);
    await ended.arrayBuffer();
    const later = await put('bytes 0-4/5', 'bytes');
    return `${ended.status}, then ${later.ok ? 'taken' : 'refused'}`;
  }

  async #read(name: string, headers: Record<string, string> = {}): Promise<string> {
    const key = encodeURIComponent(`${this.#target.prefix}${this.#folder}/${name}`);
    const path = `/storage/v1/b/${this.#target.bucket}/o/${key}?alt=media`;
    const answer = await this.#answer('GET', path, { headers });
    await answer.arrayBuffer();
    const range = answer.status === 206 ? ` ${answer.headers.get('content-range')}` : '';
    return `${answer.status}${range}`;
  }
}

/** The status of an answer, and the reason of its error. */
async function wordOf(answer: Response): Promise<string> {
  const text = await answer.text();
  if (answer.ok) return String(answer.status);
  const { error } = JSON.parse(text) as { error: { errors: [{ reason: string }] } };
  return `${answer.status} ${error.errors[0].reason}`;
}

/** What an upload says of itself. */
async function stateOf(answer: Response): Promise<string> {
  const text = await answer.text();
  const last = /^bytes=0-(\d+)$/.exec(answer.headers.get('range') ?? '')?.[1];
  if (answer.status === 308) return `308, it has ${Number(last ?? -1) + 1} bytes`;
  return `${answer.status}, an object of ${(JSON.parse(text) as { size?: string }).size} bytes`;
}

/** Checks what a server answers against what Google's own does; deviations are shown to be there. */
export function gcsFacts(target: GcsTarget, deviations: GcsDeviations = {}): void {
  it(`${target.name} answers as Cloud Storage does, but for what is recorded`, async () => {
    const recorded = Object.entries(deviations).map(([fact, { is }]) => [fact, is]);
    expect(await new Questions(target).ask()).toEqual({
      ...facts,
      ...Object.fromEntries(recorded),
    });
  });
}
