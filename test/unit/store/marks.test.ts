import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { MstoreError } from '../../../src/base/errors.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource, type RemoteReader } from '../../../src/remote/remote.ts';
import {
  cleanUpId,
  formatMark,
  listCleanUps,
  type Mark,
  markKey,
  parseMark,
  readMark,
  readMarks,
  sweeperIsGone,
  sweepKey,
} from '../../../src/store/clean-up.ts';

const created = '2026-01-02T03:04:05.678Z';
const root = `roots/${'1'.repeat(32)}/20260102T030405678Z-0123456789abcdef.json`;

function markOf(chance: string, change: Partial<Mark> = {}): Mark {
  return {
    ...{ id: cleanUpId(created, chance), created, reason: 'r', graceMs: 5, bytes: 7 },
    ...{ packs: [sha256('a')], indexes: [sha256('b')], recipes: [sha256('c')], roots: [root] },
    ...change,
  };
}

const mark = markOf('0123abcd');
const written = (change: object = {}) =>
  Buffer.from(JSON.stringify({ ...JSON.parse(formatMark(mark).toString()), ...change }));
const refusal = (what: string) => ({
  code: 'corrupt-remote',
  message: expect.stringContaining(what) as string,
  hint: expect.stringContaining('Remove it') as string,
});

describe('a mark', () => {
  it('has the form that the format says', () => {
    const policy = { last: 3, withinMs: 9, tags: ['v*'] };
    const full = markOf('0123abcd', { policy, forget: ['x'] });
    const { packs, indexes, recipes, roots } = full;
    expect(JSON.parse(formatMark(full).toString())).toEqual({
      ...{ mstore: 1, id: full.id, created, reason: 'r', grace_ms: 5, bytes: 7 },
      ...{ keep: { last: 3, within_ms: 9, tags: ['v*'] }, forget: ['x'] },
      ...{ packs, indexes, recipes, roots },
    });
    expect(Object.keys(JSON.parse(formatMark(mark).toString()))).not.toContain('keep');
  });

  it.each<object>([
    { grace_ms: 0, bytes: 0, reason: '', forget: [] },
    { packs: [], indexes: [], recipes: [], roots: [] },
    { keep: { last: 0 } },
    { keep: { within_ms: 5 } },
    { keep: { tags: [] } },
  ])('may have %j', (change) => {
    expect(() => parseMark(written(change), 'here')).not.toThrow();
  });

  it.each<[object, string]>([
    [{ mstore: 1.5 }, 'it has no format number'],
    [{ mstore: undefined }, 'it has no format number'],
    [{ id: 5 }, 'it has no valid id'],
    [{ id: `${mark.id}x` }, 'it has no valid id'],
    [{ id: `${mark.id}/mark.json\ngc/${mark.id}` }, 'it has no valid id'],
    [{ created: 1 }, 'it does not say when and why'],
    [{ reason: 1 }, 'it does not say when and why'],
    [{ grace_ms: '5' }, 'it does not say when and why'],
    [{ grace_ms: 2 ** 53 }, 'it does not say when and why'],
    [{ bytes: -1 }, 'its bytes are no number'],
    [{ keep: 1 }, 'its keep is no object'],
    [{ keep: { last: -1 } }, 'its keep has no number'],
    [{ keep: { last: 1, within_ms: 'x' } }, 'its keep has no number'],
    [{ keep: { tags: 'v*' } }, 'its tags are no list of texts'],
    [{ keep: { tags: ['v*', 1] } }, 'its tags are no list of texts'],
    [{ forget: ['x', 1] }, 'its forget are no list of names'],
    [{ packs: [sha256('a'), 'x'] }, 'its packs are no list of names'],
    [{ indexes: undefined }, 'its indexes are no list of names'],
    [{ recipes: [1] }, 'its recipes are no list of names'],
    [{ roots: [root, 'roots/x'] }, 'its roots are no list of names'],
    [{ roots: [1] }, 'its roots are no list of names'],
  ])('may not have %j', (change, what) => {
    const parse = () => parseMark(written(change), 'here');
    expect(parse).toThrow(
      expect.objectContaining({ ...refusal(what), details: { path: 'here' } }) as Error,
    );
  });

  it('of a format to come is refused as such', () => {
    expect(() => parseMark(written({ mstore: 2 }), 'here')).toThrow(
      expect.objectContaining({
        code: 'newer-format',
        hint: 'Install a newer mstore',
        details: { path: 'here', format: 2 },
      }) as Error,
    );
  });
});

describe('the marks of a place', () => {
  const [first, damaged, swept, last] = ['1', '2', '3', '4'].map((n) => markOf(n.repeat(8))) as [
    Mark,
    Mark,
    Mark,
    Mark,
  ];

  async function place() {
    const remote = memoryRemote('there');
    for (const each of [first, last])
      await remote.create(markKey(each.id), bytesSource(formatMark(each)));
    await remote.create(markKey(damaged.id), bytesSource(Buffer.from('{}')));
    await remote.create(sweepKey(swept.id, '00000001', 'swept'), bytesSource(Buffer.from('{}')));
    return remote;
  }

  async function read(...given: Parameters<typeof readMarks>): Promise<Mark[]> {
    const marks: Mark[] = [];
    for await (const { mark: each, time } of readMarks(...given)) {
      expect(time).toEqual(expect.any(Number));
      marks.push(each);
    }
    return marks;
  }

  it('are read in their order, without those that are swept', async () => {
    const passed: unknown[] = [];
    const isPassedOver = (error: unknown) => passed.push(error) > 0;
    expect(await read(await place(), {}, isPassedOver)).toEqual([first, last]);
    expect(passed).toMatchObject([refusal('it has no format number')]);
  });

  it('are not read on behind damage that nobody passes over', async () => {
    await expect(read(await place())).rejects.toMatchObject(refusal('it has no format number'));
  });

  it('may be taken back while they are read', async () => {
    const remote = await place();
    await remote.delete(markKey(damaged.id));
    expect(await readMark(remote, damaged.id)).toBeUndefined();
    expect(await readMark(remote, first.id)).toEqual(first);
    const lagging: RemoteReader = {
      ...remote,
      list: async function* () {
        yield { key: markKey(damaged.id), size: 1, time: 1 };
      },
    };
    expect(await read(lagging)).toEqual([]);
  });

  it('are not known where they cannot be read', async () => {
    const failing = {
      ...memoryRemote('there'),
      get: () => {
        throw new MstoreError('remote-unreachable', 'No network');
      },
    } as RemoteReader;
    await expect(readMark(failing, first.id)).rejects.toMatchObject({ code: 'remote-unreachable' });
    const sweep = { number: '00000001', ageMs: 0 };
    await expect(sweeperIsGone(failing, first.id, sweep)).rejects.toMatchObject({
      code: 'remote-unreachable',
    });
  });

  it('have names of one form alone', async () => {
    const remote = memoryRemote();
    for (const key of [
      `${markKey(mark.id)}.tmp`,
      `gc/x${mark.id}/mark.json`,
      `gc/gc/${mark.id}/mark.json`,
      `gc/${mark.id}0/mark.json`,
      `gc/${mark.id}/1.sweep`,
      `gc/${mark.id}/000000001.sweep`,
      `gc/${mark.id}/0000000g.swept`,
      `gc/${mark.id.slice(1)}/mark.json`,
    ])
      await remote.create(key, bytesSource(Buffer.from('{}')));
    expect(await listCleanUps(remote)).toEqual([]);
  });

  it('have sweeps, begun or ended first by the listing', async () => {
    const listing = async (...whats: Array<'sweep' | 'swept'>) => {
      const reader = {
        list: async function* () {
          for (const what of whats)
            yield { key: sweepKey(mark.id, '0000000a', what), time: what.length };
        },
      } as unknown as RemoteReader;
      return (await listCleanUps(reader))[0]?.sweeps;
    };
    const both = [{ number: '0000000a', begun: 5, ended: true }];
    expect(await listing('sweep', 'swept')).toEqual(both);
    expect(await listing('swept', 'sweep')).toEqual(both);
    expect(await listing('sweep')).toEqual([{ number: '0000000a', begun: 5, ended: false }]);
  });
});
