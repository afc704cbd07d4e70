import { describe, expect, it } from 'vitest';
import { MstoreError } from '../../src/base/errors.ts';
import { unfinishedUploads } from '../../src/flow/remote-uploads.ts';
import type { OwnedRemote } from '../../src/flow/remotes.ts';
import type { Workspace } from '../../src/flow/workspace.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import type { RemotePruner, RemoteUpload } from '../../src/remote/remote.ts';
import { makePlainProject } from '../support/flow-project.ts';

const hourMs = 3_600_000;
const now = 1_900_000_000_000;
const clock = { now: () => now, monotonic: () => 0 };

/** An upload that was begun so many hours ago; undefined where the service does not tell. */
const upload = (id: string, hours: number | undefined, bytes?: number): RemoteUpload => ({
  key: `packs/aa/${id}.pack`,
  id,
  begun: hours === undefined ? undefined : now - hours * hourMs,
  bytes,
});

/** A remote in memory with uploads, which fails with `failure` when one is to be ended. */
async function place(
  uploads: Iterable<RemoteUpload>,
  failure?: MstoreError,
): Promise<{ workspace: Workspace; chosen: OwnedRemote; ended: string[] }> {
  const ended: string[] = [];
  const remote: RemotePruner = {
    ...memoryRemote(),
    uploads: {
      async *list() {
        yield* uploads;
      },
      async end({ id }) {
        if (failure !== undefined) throw failure;
        ended.push(id);
      },
    },
  };
  const workspace = await (await makePlainProject({ clock })).open();
  return { workspace, chosen: { name: 'origin', remote, isService: true }, ended };
}

describe('unfinished uploads of a remote', () => {
  const some = [upload('b', 25, 10), upload('d', undefined, 5), upload('a', 300), upload('c', -1)];

  it('are listed by age, and kept', async () => {
    const { workspace, chosen, ended } = await place(some);
    const result = await unfinishedUploads(workspace, chosen);
    expect(result).toEqual({
      remote: 'origin',
      location: chosen.remote.location,
      listable: true,
      more: false,
      uploads: [
        {
          key: 'packs/aa/a.pack',
          id: 'a',
          begun: new Date(now - 300 * hourMs).toISOString(),
          ageSeconds: 300 * 3600,
          state: 'kept',
        },
        expect.objectContaining({ id: 'b', ageSeconds: 25 * 3600, bytes: 10, state: 'kept' }),
        { key: 'packs/aa/d.pack', id: 'd', bytes: 5, state: 'kept' },
        // Its clock is ahead of ours.
        expect.objectContaining({ id: 'c', ageSeconds: 0 }),
      ],
    });
    expect(ended).toEqual([]);
  });

  it('are ended where they are older than was said, and their age is known', async () => {
    const { workspace, chosen, ended } = await place(some);
    const states = async (dryRun: boolean, hours: number) => {
      const how = { endOlderThanMs: hours * hourMs, dryRun };
      const { uploads } = await unfinishedUploads(workspace, chosen, how);
      return Object.fromEntries(uploads.map(({ id, state }) => [id, state]));
    };
    const kept = { c: 'kept', d: 'kept' };
    expect(await states(true, 24)).toEqual({ a: 'would-end', b: 'would-end', ...kept });
    expect(ended).toEqual([]);
    expect(await states(false, 25)).toEqual({ a: 'ended', b: 'kept', ...kept });
    expect(ended).toEqual(['a']);
    expect(await states(false, 0)).toEqual({ a: 'ended', b: 'ended', ...kept });
  });

  it('are bounded in number', async () => {
    let given = 0;
    function* endless() {
      for (;;) yield upload(`u${given++}`, 48);
    }
    const { workspace, chosen, ended } = await place(endless());
    const how = { endOlderThanMs: 24 * hourMs };
    const { more, uploads } = await unfinishedUploads(workspace, chosen, how);
    expect([more, uploads.length, ended.length, given]).toEqual([true, 10_000, 10_000, 10_001]);
  });

  it('end the command where they may not be ended, or it is interrupted', async () => {
    const refusal = new MstoreError('remote-refused', 'No', { hint: 'Ask' });
    const denied = await place(some, refusal);
    const how = { endOlderThanMs: hourMs };
    await expect(unfinishedUploads(denied.workspace, denied.chosen, how)).rejects.toBe(refusal);
    const { workspace, chosen, ended } = await place(some);
    const stopped = { ...how, signal: AbortSignal.abort() };
    await expect(unfinishedUploads(workspace, chosen, stopped)).rejects.toMatchObject({
      code: 'interrupted',
    });
    expect(ended).toEqual([]);
  });

  it('are no matter of a remote that has none', async () => {
    const { workspace } = await place([]);
    const chosen = { name: 'x', remote: memoryRemote(), isService: false };
    expect(await unfinishedUploads(workspace, chosen)).toMatchObject({
      listable: false,
      uploads: [],
    });
  });
});
