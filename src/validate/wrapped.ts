import { gunzipSync, inflateSync } from 'node:zlib';
import { type ByteReader, memoryFile } from '../weights/byte-reader.ts';
import type { Content } from './detect.ts';
import { checkHiddenPickle, checkPickles, PickleTally } from './pickle.ts';
import { quoted, type Report } from './report.ts';

const packedBytesMax = 128 * 1024 * 1024;
const unpackedBytesMax = 256 * 1024 * 1024;
const tarBlock = 512;
const tarMembersMax = 10_000;

interface WrappedOptions {
  /** Whether the name tells a format; else numbers that start as zlib does may be just that. */
  readonly isNamed: boolean;
  /** Checks what a stream unfolds to. */
  checkInner(inner: ByteReader): void;
}

/**
 * Looks into a model that is wrapped in an archive or a compressed stream: joblib and old versions of PyTorch write
 * such files, and others use them to hide a pickle from scanners.
 */
export function checkWrapped(
  content: Content,
  file: ByteReader,
  report: Report,
  { isNamed, checkInner }: WrappedOptions,
): void {
  if (content === 'tar') {
    checkTar(file, report);
    return;
  }
  const inner = content === 'gzip' || content === 'zlib' ? unpack(content, file) : undefined;
  if (inner === undefined) {
    if (content === 'zlib' && !isNamed) return;
    report.add('archive-unread', `What is wrapped as ${content} was not looked into`);
    return;
  }
  checkInner(memoryFile(inner));
}

function unpack(content: 'gzip' | 'zlib', file: ByteReader): Uint8Array | undefined {
  if (file.size > packedBytesMax) return undefined;
  const bytes = file.read(0, file.size);
  try {
    const options = { maxOutputLength: unpackedBytesMax };
    return content === 'gzip' ? gunzipSync(bytes, options) : inflateSync(bytes, options);
  } catch {
    return undefined;
  }
}

/** Checks the members of a tar, in which PyTorch kept models before version 0.1.10. */
function checkTar(file: ByteReader, report: Report): void {
  report.add('torch-tar', 'It is a tar, which only old versions of PyTorch load');
  const tally = new PickleTally();
  let at = 0;
  for (let count = 0; at + tarBlock <= file.size; count++) {
    const head = Buffer.from(file.read(at, tarBlock));
    if (head.every((byte) => byte === 0)) break;
    const name = textBefore(head.subarray(0, 100));
    const size = Number.parseInt(textBefore(head.subarray(124, 136)).trim(), 8);
    if (!Number.isSafeInteger(size) || size < 0 || count >= tarMembersMax) {
      report.add('archive-unread', 'The tar is damaged, or has too many members', `byte ${at}`);
      break;
    }
    const start = at + tarBlock;
    const end = Math.min(start + size, file.size);
    const stream = { file, start, end, member: `member ${quoted(name)}` };
    if (/(?:^|\/)pickle$|\.pkl$/.test(name)) checkPickles(stream, report, tally, 1);
    else checkHiddenPickle(stream, report, tally);
    at = start + Math.ceil(size / tarBlock) * tarBlock;
  }
  tally.into(report.summary, true);
}

function textBefore(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.subarray(0, end < 0 ? bytes.length : end).toString();
}
