import { CreateMultipartUploadCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../../src/base/clock.ts';
import { bytesSource, type RemotePruner, type RemoteUpload } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { rateLimit, rateLimited } from '../../src/remote/wrappers/rate.ts';
import { retrying, retryPolicy } from '../../src/remote/wrappers/retry.ts';
import { readObject, testBytes } from '../support/remote-bytes.ts';
import { type S3Target, s3Client } from '../support/s3-target.ts';
import { freshFolder } from '../support/service-target.ts';

/** The uploads that a remote tells of, sorted by key and size. */
async function uploadsOf(remote: RemotePruner): Promise<RemoteUpload[]> {
  const uploads: RemoteUpload[] = [];
  for await (const upload of remote.uploads?.list() ?? []) uploads.push(upload);
  const sortKey = ({ key, bytes }: RemoteUpload) => `${key} ${bytes}`;
  return uploads.sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
}

/** Begins an upload as a process does that dies then; returns its id. */
async function beginUpload(
  target: S3Target,
  folder: string,
  key: string,
  sizes: readonly number[],
): Promise<string> {
  const client = s3Client(target);
  const at = { Bucket: target.bucket, Key: `${target.prefix}${folder}/${key}` };
  const { UploadId = '' } = await client.send(new CreateMultipartUploadCommand(at));
  for (const [n, size] of sizes.entries()) {
    const part = { UploadId, PartNumber: n + 1, Body: testBytes(size) };
    await client.send(new UploadPartCommand({ ...at, ...part }));
  }
  return UploadId;
}

/** The suite of uploads that were begun and not ended, for services that speak S3. */
export function uploadsContract(
  target: S3Target,
  { listsFolders = true }: { readonly listsFolders?: boolean } = {},
): void {
  const place = () => {
    const folder = freshFolder();
    const remote = target.remote(folder, { partBytes: 5 * 1024 * 1024 });
    const begin = (key: string, ...sizes: number[]) => beginUpload(target, folder, key, sizes);
    return { remote, begin };
  };

  describe(`${target.name} tells of unfinished uploads`, () => {
    it('by key, age and size, over pages, of one remote alone', async () => {
      const { remote, begin } = place();
      const other = place();
      expect(await uploadsOf(remote)).toEqual([]);
      const before = Date.now();
      await begin('packs/aa/one', 1000, 20);
      await begin('packs/aa/one', 7);
      for (let n = 0; n < 9; n++) await begin(`packs/bb/${n}`);
      await other.begin('packs/cc/other', 5);
      const found = await uploadsOf(remote);
      const told = found.map(({ key, bytes }) => [key, bytes]);
      const small = Array.from({ length: 9 }, (_, n) => [`packs/bb/${n}`, 0]);
      expect(told).toEqual(
        listsFolders ? [['packs/aa/one', 1020], ['packs/aa/one', 7], ...small] : [],
      );
      for (const { begun = 0 } of found) expect(Math.abs(begun - before)).toBeLessThan(600_000);
    });

    it('and ends one, again too, and no other', async () => {
      const { remote, begin } = place();
      const key = 'packs/aa/one';
      const id = await begin(key, 1000);
      const stays = await begin(key, 7);
      for (let turn = 0; turn < 2; turn++) await remote.uploads?.end({ key, id });
      const left = (await uploadsOf(remote)).map((upload) => upload.id);
      expect(left).toEqual(listsFolders ? [stays] : []);
      const bytes = testBytes(6 * 1024 * 1024);
      expect(await remote.create(key, bytesSource(bytes))).toBe('created');
      expect((await readObject(remote, key)).equals(bytes)).toBe(true);
      await remote.uploads?.end({ key, id: stays });
      expect(await uploadsOf(remote)).toEqual([]);
      expect(await remote.stat(key)).toBe(bytes.length);
    });

    it('through wrappers, and until it is interrupted', async () => {
      const { remote, begin } = place();
      const clock = systemClock;
      const policy = retryPolicy({ clock, random: systemRandom });
      const limit = rateLimit({ clock, bytesPerSecond: 1e9 });
      const wrapped = counting(rateLimited(retrying(remote, policy), limit));
      const key = 'packs/aa/one';
      const id = await begin(key, 3);
      const signal = AbortSignal.abort();
      const interrupted = { code: 'interrupted' };
      await expect(wrapped.uploads?.end({ key, id }, { signal })).rejects.toMatchObject(
        interrupted,
      );
      const list = async () => {
        for await (const _ of wrapped.uploads?.list({ signal }) ?? []);
      };
      await expect(list()).rejects.toMatchObject(interrupted);
      expect((await uploadsOf(wrapped)).length).toBe(listsFolders ? 1 : 0);
      await wrapped.uploads?.end({ key, id });
      expect(await uploadsOf(wrapped)).toEqual([]);
    });
  });
}
