import { expect, it } from 'vitest';
import { bytesSource, type RemotePruner } from '../../src/remote/remote.ts';
import {
  blocksSource,
  listKeys,
  openFilesBelow,
  readObject,
  testBytes,
} from '../support/remote-bytes.ts';
import type { MakeRemote } from './remote.ts';

const mib = 1024 * 1024;
const text = (value: string) => bytesSource(Buffer.from(value));
const code = (expected: string) => expect.objectContaining({ code: expected });

/** The part of the contract about creating, in races and with sources that fail. */
export function createTests(make: MakeRemote): void {
  it('never overwrites', async () => {
    const remote = await make();
    expect(await remote.create('refs/1', text('first'))).toBe('created');
    expect(await remote.create('refs/1', text('second, longer'))).toBe('exists');
    expect(await remote.create('refs/1', text('first'))).toBe('exists');
    expect(String(await readObject(remote, 'refs/1'))).toBe('first');
    expect(await listKeys(remote)).toEqual(['refs/1']);
  });

  it('has one winner among 32, whose bytes are there', async () => {
    const remote = await make();
    for (const key of ['refs/race/00000001.json', 'refs/race/00000002.json']) {
      const answers = await Promise.all(
        Array.from({ length: 32 }, (_, n) => remote.create(key, text(`writer ${n}`))),
      );
      const winners = answers.flatMap((answer, n) => (answer === 'created' ? [n] : []));
      expect(winners).toHaveLength(1);
      expect(String(await readObject(remote, key))).toBe(`writer ${winners[0]}`);
    }
    expect(await listKeys(remote)).toHaveLength(2);
  });

  it('lets one win whose name was free when both began', async () => {
    const remote = await make();
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow = remote.create('refs/slow', {
      size: 4,
      open: async function* () {
        yield Buffer.from('sl');
        await gate;
        yield Buffer.from('ow');
      },
    });
    expect(await remote.create('refs/slow', text('fast'))).toBe('created');
    release();
    expect(await slow).toBe('exists');
    expect(String(await readObject(remote, 'refs/slow'))).toBe('fast');
  });

  it('makes nothing of a source that fails, and throws its error', async () => {
    const remote = await make();
    const failure = Object.assign(new Error('no more'), { code: 'EIO' });
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield testBytes(2 * mib);
      throw failure;
    }
    await expect(remote.create('packs/ab/x', { size: 3 * mib, open: failing })).rejects.toBe(
      failure,
    );
    await expectNothing(remote, 'packs/ab/x');
  });

  it('makes nothing of a source that is shorter or longer than it says', async () => {
    const remote = await make();
    const bytes = testBytes(mib + 100);
    for (const size of [0, bytes.length - 1, bytes.length + 1, 5 * mib]) {
      const source = blocksSource([bytes], size);
      await expect(remote.create('packs/ab/x', source)).rejects.toEqual(code('file-changed'));
      await expectNothing(remote, 'packs/ab/x');
    }
    await expect(remote.create('packs/ab/x', blocksSource([], 1))).rejects.toEqual(
      code('file-changed'),
    );
    await expectNothing(remote, 'packs/ab/x');
  });

  it('ends a source early when it gives up on it', async () => {
    const remote = await make();
    let ended = false;
    const endless: AsyncIterable<Uint8Array> = (async function* () {
      try {
        for (;;) yield Buffer.alloc(1000);
      } finally {
        ended = true;
      }
    })();
    const source = { size: 10_000, open: () => endless };
    await expect(remote.create('packs/ab/x', source)).rejects.toEqual(code('file-changed'));
    expect(ended).toBe(true);
  });

  it('can be repeated after a failure', async () => {
    const remote = await make();
    await expect(remote.create('a', blocksSource([], 3))).rejects.toThrow();
    expect(await remote.create('a', text('abc'))).toBe('created');
  });
}

/** The part of the contract about signals. */
export function interruptionTests(make: MakeRemote): void {
  it('starts nothing for a signal that was aborted before', async () => {
    const remote = await make();
    await remote.create('there', text('x'));
    const options = { signal: AbortSignal.abort() };
    await expect(remote.create('a', text('x'), options)).rejects.toEqual(code('interrupted'));
    await expect(remote.stat('there', options)).rejects.toEqual(code('interrupted'));
    await expect(remote.delete('there', options)).rejects.toEqual(code('interrupted'));
    const read = async () => {
      for await (const _ of remote.get('there', undefined, options));
    };
    await expect(read()).rejects.toEqual(code('interrupted'));
    const list = async () => {
      for await (const _ of remote.list('', options));
    };
    await expect(list()).rejects.toEqual(code('interrupted'));
    expect(await listKeys(remote)).toEqual(['there']);
  });

  it('makes nothing when it is interrupted in the middle of a create', async () => {
    const remote = await make();
    const stop = new AbortController();
    async function* blocks(): AsyncGenerator<Uint8Array> {
      yield testBytes(2 * mib);
      stop.abort();
      yield testBytes(2 * mib);
    }
    const source = { size: 4 * mib, open: blocks };
    await expect(remote.create('packs/ab/x', source, { signal: stop.signal })).rejects.toEqual(
      code('interrupted'),
    );
    await expectNothing(remote, 'packs/ab/x');
  });

  it('ends a create whose source keeps silent', async () => {
    const remote = await make();
    const stop = new AbortController();
    async function* blocks(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('ab');
      await new Promise(() => {});
    }
    const created = remote.create('a', { size: 4, open: blocks }, { signal: stop.signal });
    setTimeout(() => stop.abort(), 20);
    await expect(created).rejects.toEqual(code('interrupted'));
    await expectNothing(remote, 'a');
  });

  it('ends a read in the middle', async () => {
    const remote = await make();
    await remote.create('a', bytesSource(testBytes(4 * mib)));
    const stop = new AbortController();
    let received = 0;
    const read = async () => {
      for await (const block of remote.get('a', undefined, { signal: stop.signal })) {
        received += block.length;
        stop.abort();
      }
    };
    await expect(read()).rejects.toEqual(code('interrupted'));
    expect(received).toBeLessThan(4 * mib);
    expect(openFilesBelow(remote.location)).toEqual([]);
  });

  it('ends a listing in the middle', async () => {
    const remote = await make();
    for (const key of ['a', 'b', 'c']) await remote.create(key, text(key));
    const stop = new AbortController();
    const list = async () => {
      for await (const _ of remote.list('', { signal: stop.signal })) stop.abort();
    };
    await expect(list()).rejects.toEqual(code('interrupted'));
  });
}

async function expectNothing(remote: RemotePruner, key: string): Promise<void> {
  expect(await remote.stat(key)).toBeUndefined();
  await expect(readObject(remote, key)).rejects.toEqual(code('not-found'));
  expect(await listKeys(remote)).toEqual([]);
  expect(openFilesBelow(remote.location)).toEqual([]);
}
