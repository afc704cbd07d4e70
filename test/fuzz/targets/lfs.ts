import { formatLfsPointer, lfsPointerBytesMax, parseLfsPointer } from '../../../src/lfs/pointer.ts';
import { parseLfsRequest, requestBytesMax, requestLines } from '../../../src/lfs/protocol.ts';
import { type FuzzTarget, promise, refused, refusedLater, same } from '../target.ts';

const oid = '4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393';
const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize 12345\n`;

export const lfsPointer: FuzzTarget = {
  name: 'lfs-pointer',
  bytesMax: lfsPointerBytesMax + 16,
  seeds: () => ({
    pointer,
    extension: pointer.replace('oid', `ext-0-foo sha256:${oid}\noid`),
    old: pointer.replace('git-lfs.github.com', 'hawser.github.com').trimEnd(),
  }),
  words: ['ext-1-b sha256:', 'http://git-media.io/v/2', 'size 0', '\r\n', '\ufeff'],
  run(bytes) {
    const read = parseLfsPointer(bytes);
    if (read === undefined) return;
    promise(Number.isSafeInteger(read.size) && read.size >= 0, 'a size is a number of bytes');
    const text = formatLfsPointer(read);
    same(read.canonical, text === bytes.toString() && read.extensions.length === 0, 'one form');
    if (read.size > 0) {
      same(parseLfsPointer(Buffer.from(text))?.oid, read.oid, 'what is written is read again');
    }
  },
};

export const lfsRequests: FuzzTarget = {
  name: 'lfs-requests',
  bytesMax: 2 * requestBytesMax,
  seeds: () => ({
    init: '{"event":"init","operation":"upload","remote":"origin","concurrent":true,"concurrenttransfers":8}\n',
    upload: `{"event":"upload","oid":"${oid}","size":5,"path":"/x","action":null}\n{"event":"terminate"}\n`,
    download: `{"event":"download","oid":"${oid}","size":5}`,
  }),
  words: ['"download"', '"size":1e400', '"oid":null', '__proto__', '\n'],
  async run(bytes) {
    async function* input(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
    }
    const lines = await refusedLater(['usage'], async () => {
      const found: Buffer[] = [];
      for await (const line of requestLines(input())) found.push(line);
      return found;
    });
    for (const line of lines ?? []) {
      promise(line.length <= requestBytesMax && !line.includes(10), 'a line has a bound');
      const request = refused(['usage'], () => parseLfsRequest(line));
      if (request?.event !== 'upload' && request?.event !== 'download') continue;
      promise(/^[0-9a-f]{64}$/.test(request.oid), 'an oid is a digest');
      promise(Number.isSafeInteger(request.size) && request.size >= 0, 'a size is a size');
    }
  },
};
