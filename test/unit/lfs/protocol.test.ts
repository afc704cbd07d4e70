import { describe, expect, it } from 'vitest';
import {
  formatLfsReply,
  parseLfsRequest,
  requestBytesMax,
  requestLines,
} from '../../../src/lfs/protocol.ts';

const oid = '4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393';
const parse = (value: unknown) => parseLfsRequest(Buffer.from(JSON.stringify(value)));

async function linesOf(...blocks: readonly (string | Buffer)[]): Promise<string[]> {
  async function* input(): AsyncGenerator<Uint8Array> {
    for (const block of blocks) yield Buffer.from(block);
  }
  const lines: string[] = [];
  for await (const line of requestLines(input())) lines.push(line.toString());
  return lines;
}

describe('requests of Git LFS', () => {
  it('are read, with fields that are not known passed over', () => {
    const init = { event: 'init', operation: 'upload', remote: 'origin', concurrent: true };
    expect(parse({ ...init, concurrenttransfers: 8, more: [1] })).toEqual({
      ...init,
      processes: 8,
    });
    expect(parse({ event: 'download', oid, size: 5, action: null })).toEqual({
      event: 'download',
      oid,
      size: 5,
    });
    expect(parse({ event: 'upload', oid, size: 5, path: '/a b/c', action: {} })).toEqual({
      event: 'upload',
      oid,
      size: 5,
      path: '/a b/c',
    });
    expect(parse({ event: 'terminate' })).toEqual({ event: 'terminate' });
  });

  it('count one process where there are no others', () => {
    const init = { event: 'init', operation: 'download', remote: 'origin' };
    expect(parse({ ...init, concurrent: false, concurrenttransfers: 8 })).toMatchObject({
      processes: 1,
    });
    expect(parse({ ...init, concurrent: true, concurrenttransfers: 1e9 })).toMatchObject({
      processes: 1024,
    });
    expect(parse({ ...init, concurrent: true, concurrenttransfers: '8' })).toMatchObject({
      processes: 1,
    });
  });

  it.each([
    ['an oid that is none', { event: 'download', oid: 'x', size: 1 }, 'x is no SHA-256 digest'],
    ['a size that is none', { event: 'download', oid, size: -1 }, 'its size'],
    ['a size beyond what numbers hold', { event: 'download', oid, size: 2 ** 60 }, 'its size'],
    ['no path', { event: 'upload', oid, size: 1 }, 'the path'],
    ['a path that is none', { event: 'upload', oid, size: 1, path: 'a\0b' }, 'the path'],
  ])('with %s are refused alone', (_, request, why) => {
    const refused = parse(request);
    expect(refused).toMatchObject({ event: 'refused', oid: request.oid });
    expect(refused.event === 'refused' && refused.why).toContain(why);
  });

  it.each([
    ['no JSON', 'hello'],
    ['no object', '[1]'],
    ['no event', '{}'],
    ['an event that is not known', '{"event":"\\u001b[31mverify"}'],
    ['another operation', '{"event":"init","operation":"verify"}'],
    ['no oid', '{"event":"download","size":1}'],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ])('of %s end the work', (_, line) => {
    expect(() => parseLfsRequest(Buffer.from(line))).toThrow(
      expect.objectContaining({ code: 'usage' }),
    );
  });
});

describe('lines of requests', () => {
  it('are cut wherever blocks end', async () => {
    expect(await linesOf('{"a"', ':1}\n{"b":2}\n\n', '{"c":3}')).toEqual([
      '{"a":1}',
      '{"b":2}',
      '{"c":3}',
    ]);
    expect(await linesOf()).toEqual([]);
  });

  it('have a bound, and none is held beyond it', async () => {
    const most = 'x'.repeat(requestBytesMax);
    expect(await linesOf(most, '\n')).toEqual([most]);
    let asked = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        asked++;
        yield Buffer.alloc(1024, 'x');
      }
    }
    const reading = (async () => {
      for await (const _ of requestLines(endless()));
    })();
    await expect(reading).rejects.toMatchObject({ code: 'usage' });
    expect(asked).toBe(requestBytesMax / 1024 + 1);
  });
});

it('writes each reply as one line', () => {
  const error = { code: 3, message: 'not\nthere' };
  const line = formatLfsReply({ event: 'complete', oid, error }).toString();
  expect(line.indexOf('\n')).toBe(line.length - 1);
  expect(JSON.parse(line)).toEqual({ event: 'complete', oid, error });
});
