import { MstoreError } from '../base/errors.ts';

/** A path has at most 4,096 bytes on most systems; Git's own lines are far below this too. */
const recordBytesMax = 1024 * 1024;

/**
 * Cuts a stream of bytes into records that end with one byte, whatever the chunks are. The records are
 * valid only during the call. A tail without that byte is left out.
 * @param onRecord returns false when it needs no more
 * @returns takes the next chunk; false when no more is needed
 * @throws MstoreError `git-failed` for a record above 1 MiB
 */
export function recordCutter(
  endByte: number,
  onRecord: (record: Buffer) => boolean,
): (chunk: Buffer) => boolean {
  let held = Buffer.alloc(0);
  return (chunk) => {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(endByte, start);
      if (end < 0) break;
      const part = chunk.subarray(start, end);
      const record = held.length === 0 ? part : Buffer.concat([held, part]);
      held = Buffer.alloc(0);
      start = end + 1;
      if (!onRecord(record)) return false;
    }
    held = Buffer.concat([held, chunk.subarray(start)]);
    if (held.length > recordBytesMax) {
      throw new MstoreError('git-failed', `Git sent a record of more than ${recordBytesMax} bytes`);
    }
    return true;
  };
}

/** Takes one content that Git sends; the header came first. */
interface BatchSink {
  /** Called with the words of the line before a content; throws to end the reading. */
  header(words: readonly string[]): number | undefined;
  content(bytes: Buffer): void;
}

/**
 * Reads the output of `git cat-file --batch`: a line, then as many bytes as `header` answers, then a
 * line feed. An answer of undefined means that no content follows.
 */
export function batchReader(sink: BatchSink): (chunk: Buffer) => boolean {
  let line = Buffer.alloc(0);
  let content: Buffer | undefined;
  let filled = 0;
  return (chunk) => {
    let at = 0;
    while (at < chunk.length) {
      if (content === undefined) {
        const end = chunk.indexOf(10, at);
        line = Buffer.concat([line, chunk.subarray(at, end < 0 ? chunk.length : end)]);
        if (line.length > recordBytesMax)
          throw new MstoreError('git-failed', 'Git sent no line end');
        if (end < 0) return true;
        at = end + 1;
        const size = sink.header(line.toString('utf8').split(' '));
        line = Buffer.alloc(0);
        // One more byte for the line feed that follows each content.
        if (size !== undefined) content = Buffer.allocUnsafe(size + 1);
        filled = 0;
        continue;
      }
      const count = chunk.copy(content, filled, at);
      at += count;
      filled += count;
      if (filled < content.length) continue;
      sink.content(content.subarray(0, -1));
      content = undefined;
    }
    return true;
  };
}

/** Joins lines into parts of some size: one write for each line would be slow. */
export function* inParts(items: Iterable<string>, end: string): Generator<string> {
  let part = '';
  for (const item of items) {
    part += item + end;
    if (part.length < 32 * 1024) continue;
    yield part;
    part = '';
  }
  if (part !== '') yield part;
}
