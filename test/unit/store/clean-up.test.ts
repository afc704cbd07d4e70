import { uptime } from 'node:os';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { thisOwner } from '../../../src/base/host.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import {
  beginSweep,
  cleanUpId,
  endSweep,
  formatMark,
  listCleanUps,
  type Mark,
  markKey,
  parseMark,
  readMark,
  sweeperIsGone,
  sweepKey,
} from '../../../src/store/clean-up.ts';

const created = '2026-01-02T03:04:05.678Z';
const mark: Mark = {
  id: cleanUpId(created, '0123abcd'),
  created,
  reason: '--keep-last 3',
  graceMs: 5,
  bytes: 7,
  policy: { last: 3, withinMs: 9, tags: ['v*'] },
  forget: ['0'.repeat(32)],
  packs: [sha256('a')],
  indexes: [sha256('b')],
  recipes: [sha256('c')],
  roots: [`roots/${'1'.repeat(32)}/20260102T030405678Z-0123456789abcdef.json`],
};

const changed = (change: object) =>
  Buffer.from(
    JSON.stringify({ ...(JSON.parse(formatMark(mark).toString()) as object), ...change }),
  );

describe('a mark', () => {
  it('is read as it was written', () => {
    expect(mark.id).toBe('20260102T030405678Z-0123abcd');
    expect(parseMark(formatMark(mark), 'here')).toEqual(mark);
    const { policy: _, forget: __, ...plain } = mark;
    expect(parseMark(formatMark(plain), 'here')).toEqual(plain);
  });

  it('is refused when it is not what it must be', () => {
    for (const change of [
      { mstore: 0 },
      { mstore: '1' },
      { id: 'x' },
      { id: '../x' },
      { created: 1 },
      { reason: null },
      { grace_ms: -1 },
      { grace_ms: 1.5 },
      { bytes: '7' },
      { keep: [] },
      { keep: { last: 'x' } },
      { keep: { tags: [1] } },
      { forget: 'x' },
      { packs: ['../../x'] },
      { indexes: {} },
      { recipes: [sha256('c').toUpperCase()] },
      { roots: ['packs/aa/b.pack'] },
      { roots: ['roots/../x'] },
    ]) {
      expect(() => parseMark(changed(change), 'here'), JSON.stringify(change)).toThrow(
        expect.objectContaining({ code: 'corrupt-remote' }),
      );
    }
    expect(() => parseMark(Buffer.from('{'), 'here')).toThrow(/not UTF-8 JSON/);
    expect(() => parseMark(Buffer.from('[]'), 'here')).toThrow(/not a JSON object/);
    expect(() => parseMark(changed({ mstore: 2 }), 'here')).toThrow(
      expect.objectContaining({ code: 'newer-format' }),
    );
  });

  it('is refused under the name of another one', async () => {
    const place = memoryRemote();
    const other = cleanUpId(created, 'ffffffff');
    await place.create(markKey(other), bytesSource(formatMark(mark)));
    await expect(readMark(place, other)).rejects.toMatchObject({ code: 'corrupt-remote' });
  });
});

describe('the list of clean-ups', () => {
  it('tells marks, sweeps and their ends, and passes over what it does not know', async () => {
    const place = memoryRemote();
    await place.create(markKey(mark.id), bytesSource(formatMark(mark)));
    await beginSweep(place, mark.id, '00000001');
    await beginSweep(place, mark.id, '00000002');
    await endSweep(place, mark.id, '00000001');
    const over = cleanUpId(created, 'eeeeeeee');
    await place.create(sweepKey(over, '00000003', 'swept'), bytesSource(Buffer.from('{}')));
    await place.create('gc/odd/mark.json', bytesSource(Buffer.from('{}')));
    const listed = await listCleanUps(place);
    expect(listed).toMatchObject([
      {
        id: mark.id,
        mark: { time: expect.any(Number) },
        sweeps: [
          { number: '00000001', ended: true, begun: expect.any(Number) },
          { number: '00000002', ended: false, begun: expect.any(Number) },
        ],
      },
      { id: over, sweeps: [{ number: '00000003', ended: true, begun: undefined }] },
    ]);
  });

  it('knows a sweep of this process, and of one that is gone', async () => {
    const place = memoryRemote();
    const isGone = (number: string): Promise<boolean> =>
      sweeperIsGone(place, mark.id, { number, ageMs: 30 * 24 * 60 * 60_000 });
    await beginSweep(place, mark.id, '00000001');
    expect(await isGone('00000001')).toBe(false);
    const { host } = JSON.parse(
      Buffer.concat(await collect(place.get(sweepKey(mark.id, '00000001', 'sweep')))).toString(),
    ) as { host: string };
    const gone = bytesSource(Buffer.from(JSON.stringify({ host, pid: 2 ** 22 + 12345 })));
    await place.create(sweepKey(mark.id, '00000002', 'sweep'), gone);
    expect(await isGone('00000002')).toBe(true);
    const odd = bytesSource(Buffer.from('odd'));
    await place.create(sweepKey(mark.id, '00000003', 'sweep'), odd);
    expect(await isGone('00000003')).toBe(false);
    expect(await isGone('00000004')).toBe(false);
  });

  it('knows a sweep that ended with an earlier start of this machine, and of no other one', async () => {
    const place = memoryRemote();
    const before = { ...thisOwner(), host: 'before', boot: 'another start' };
    const upMs = uptime() * 1000;
    const isGone = async (number: string, owner: object, ageMs: number): Promise<boolean> => {
      const source = bytesSource(Buffer.from(JSON.stringify(owner)));
      await place.create(sweepKey(mark.id, number, 'sweep'), source);
      return sweeperIsGone(place, mark.id, { number, ageMs });
    };
    expect(await isGone('00000001', before, upMs + 60_000)).toBe(true);
    expect(await isGone('00000002', before, upMs - 60_000)).toBe(false);
    expect(await isGone('00000003', { ...before, machine: 'another' }, 1e12)).toBe(false);
    expect(await isGone('00000004', before, 0)).toBe(false);
  });
});

async function collect(blocks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const block of blocks) all.push(block);
  return all;
}
