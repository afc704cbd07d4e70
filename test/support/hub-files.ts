import { createHash } from 'node:crypto';
import type * as http from 'node:http';
import { sha256 } from '../../src/base/digest.ts';
import type { HubFaultKind, HubRequest } from './hub-server.ts';

/** Sends the bytes of a file as they were asked for, or spoiled. */
export function sendBytes(
  whole: Buffer,
  asked: HubRequest,
  fault: HubFaultKind | undefined,
  response: http.ServerResponse,
): void {
  const bytes = fault === 'wrong-bytes' ? flipped(whole) : whole;
  const start = Number(/^bytes=(\d+)-/.exec(asked.range ?? '')?.[1] ?? 0);
  const isPart = asked.range !== undefined && fault !== 'no-range';
  const body = isPart ? bytes.subarray(start) : bytes;
  const more = fault === 'longer' ? Buffer.from('and more') : Buffer.alloc(0);
  const first = fault === 'other-range' ? start + 1 : start;
  response.writeHead(isPart ? 206 : 200, {
    'content-length': body.length + more.length,
    ...(isPart ? { 'content-range': `bytes ${first}-${bytes.length - 1}/${bytes.length}` } : {}),
    ...(fault === 'packed' ? { 'content-encoding': 'gzip' } : {}),
  });
  if (asked.method === 'HEAD') {
    response.end();
    return;
  }
  const isCut = fault === 'truncate' || fault === 'stall';
  const cut = isCut ? Math.floor(body.length / 2) : body.length;
  asked.sent = cut;
  response.write(body.subarray(0, cut), () => {
    if (fault === 'truncate') response.destroy();
    else if (fault !== 'stall') response.end(more);
  });
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
}

/** What a listing says of a file. */
export function entryOf(path: string, bytes: Buffer, lfs: boolean): object {
  const size = bytes.length;
  if (!lfs) return { type: 'file', path, size, oid: gitBlob(bytes) };
  const oid = sha256(bytes);
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${size}\n`;
  return {
    type: 'file',
    path,
    size,
    oid: gitBlob(Buffer.from(pointer)),
    lfs: { oid, size, pointerSize: pointer.length },
    xetHash: 'f'.repeat(64),
  };
}

/** The name that Git gives bytes. */
export function gitBlob(bytes: Buffer): string {
  return sha1(Buffer.concat([Buffer.from(`blob ${bytes.length}\0`), bytes]));
}

/** SHA-1 in hexadecimal. */
export function sha1(bytes: Buffer | string): string {
  return createHash('sha1').update(bytes).digest('hex');
}
