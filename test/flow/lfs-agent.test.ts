import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { repositoryOf } from '../../src/flow/roots.ts';
import { bytesSource, type RemotePruner } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import {
  cloneProject,
  emptyRemote,
  makeProject,
  type Project,
  withRemotes,
} from '../support/flow-project.ts';
import { cleaners, dayMs, handClock } from '../support/gc.ts';
import { git } from '../support/git.ts';
import {
  askAgent,
  completed,
  type LfsTestObject,
  putLfsObject,
  recordedObjects,
  transcripts,
} from '../support/lfs.ts';
import { faulty } from '../support/remote-faulty.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const remote = 'memory://origin';

async function project(place: RemotePruner) {
  const clock = handClock();
  const made = await makeProject(withRemotes({ origin: place }, { clock }));
  return { ...made, clock };
}

function objectOf(bytes: Buffer): LfsTestObject {
  return { oid: sha256(bytes), bytes };
}

const initOf = (operation: 'upload' | 'download', processes = 1) => ({
  event: 'init',
  operation,
  remote: 'origin',
  concurrent: processes > 1,
  concurrenttransfers: processes,
});

function uploadOf(root: string, object: LfsTestObject) {
  const file = putLfsObject(root, object);
  return { event: 'upload', oid: object.oid, size: object.bytes.length, path: file, action: null };
}

function downloadOf({ oid, bytes }: LfsTestObject) {
  return { event: 'download', oid, size: bytes.length, action: null };
}

async function send({ root, open }: Project, ...objects: LfsTestObject[]) {
  const lines = [initOf('upload'), ...objects.map((one) => uploadOf(root, one))];
  return completed(await askAgent(open, lines, { remote }));
}

/** Gets objects into a fresh clone, and compares every byte. */
async function expectThere(from: Project, place: RemotePruner, ...objects: LfsTestObject[]) {
  const clone = cloneProject(from, withRemotes({ origin: place }));
  const lines = [initOf('download'), ...objects.map(downloadOf)];
  const replies = completed(await askAgent(clone.open, lines, { remote }));
  expect(replies.map(({ error }) => error)).toEqual(objects.map(() => undefined));
  for (const [i, { path: file = '' }] of replies.entries()) {
    expect(fs.readFileSync(file).equals(objects[i]?.bytes as Buffer)).toBe(true);
    expect(path.dirname(file)).toBe(clone.at('.git/lfs/tmp'));
    expect(path.basename(file).startsWith(`${objects[i]?.oid}-`)).toBe(true);
    expect(fs.statSync(file).mode & 0o777 & ~process.umask()).toBe(0o666 & ~process.umask());
  }
  return clone;
}

describe('the agent of Git LFS', () => {
  let place: RemotePruner;
  let from: Awaited<ReturnType<typeof project>>;

  beforeEach(async () => {
    place = await emptyRemote();
    from = await project(place);
    from.commit();
  });

  it('answers what git-lfs was recorded to send, by two processes at once', async () => {
    for (const object of recordedObjects) putLfsObject(from.root, object);
    const objects = from.at('.git/lfs/objects');
    const pushed = await Promise.all(
      transcripts.push.map((lines) =>
        askAgent(
          from.open,
          lines.map((line) => line.replace('{objects}', objects)),
          { remote },
        ),
      ),
    );
    for (const replies of pushed) expect(replies[0]).toEqual({});
    expect(pushed.flatMap(completed).map(({ oid, error }) => ({ oid, error }))).toEqual(
      [0, 2, 1].map((i) => ({ oid: recordedObjects[i]?.oid, error: undefined })),
    );
    // The objects stay where Git LFS keeps them, and nothing is beside them.
    expect(fs.readdirSync(from.at('.modelstore/store/tmp'))).toEqual([]);
    expect(fs.existsSync(from.at('.modelstore/store/packs'))).toBe(false);

    const clone = cloneProject(from, withRemotes({ origin: place }));
    const pulled = await Promise.all(
      transcripts.pull.map((lines) => askAgent(clone.open, lines, { remote })),
    );
    for (const { oid, path: file = '' } of pulled.flatMap(completed)) {
      const bytes = recordedObjects.find((one) => one.oid === oid)?.bytes as Buffer;
      expect(fs.readFileSync(file).equals(bytes)).toBe(true);
    }
    expect(pulled.flatMap(completed)).toHaveLength(3);
  });

  it('tells how far it is, up to the last byte', async () => {
    const object = objectOf(xorshiftBytes(1, 3_000_000));
    const lines = [initOf('upload'), uploadOf(from.root, object)];
    const replies = await askAgent(from.open, lines, { remote });
    const progress = replies.filter(({ event }) => event === 'progress');
    expect(progress.at(-1)?.bytesSoFar).toBe(3_000_000);
    expect(progress.reduce((sum, one) => sum + (one.bytesSinceLast ?? 0), 0)).toBe(3_000_000);
    expect(replies.at(-1)).toEqual({ event: 'complete', oid: object.oid });
  });

  it('sends of another version what has changed, and of the same one nothing', async () => {
    const bytes = xorshiftBytes(2, 8_000_000);
    const edited = Buffer.from(bytes);
    edited.write('edited', 4_000_000);
    const counted = counting(place);
    const two = await project(counted);
    await send(two, objectOf(bytes));
    const first = counted.counts().create.bytes;
    await send(two, objectOf(edited));
    const second = counted.counts().create.bytes - first;
    expect(first).toBeGreaterThan(8_000_000);
    expect(second).toBeLessThan(2_000_000);
    const before = counted.counts().create.calls;
    await send(two, objectOf(edited));
    expect(counted.counts().create.calls).toBe(before);
    await expectThere(from, place, objectOf(bytes), objectOf(edited));
  });

  it('sends versions that are pushed together one after the other', async () => {
    const bytes = xorshiftBytes(3, 8_000_000);
    const versions = [0, 1, 2, 3].map((i) => {
      const version = Buffer.from(bytes);
      version.write(`version ${i}`, i * 2_000_000);
      return objectOf(version);
    });
    const counted = counting(await emptyRemote());
    const several = await project(counted);
    const replies = await Promise.all(
      versions.map((one) =>
        askAgent(several.open, [initOf('upload', 4), uploadOf(several.root, one)], { remote }),
      ),
    );
    expect(replies.flatMap(completed).map(({ error }) => error)).toEqual(Array(4).fill(undefined));
    expect(counted.counts().create.bytes).toBeLessThan(12_000_000);
    several.commit();
    await expectThere(several, counted, ...versions);
  });

  it('compresses as the store of the workspace does', async () => {
    const counted = counting(await emptyRemote());
    const made = await project(counted);
    fs.writeFileSync(made.at('.modelstore/config.local.toml'), '[store]\ncompression = "auto"\n');
    const object = objectOf(Buffer.alloc(2_000_000, 'the same again, '));
    await send(made, object);
    expect(counted.counts().create.bytes).toBeLessThan(100_000);
    made.commit();
    await expectThere(made, counted, object);
  });

  it('tells of each object that fails, and goes on with the others', async () => {
    const right = objectOf(xorshiftBytes(4, 400_000));
    const wrong = { oid: sha256('another'), bytes: xorshiftBytes(5, 400_000) };
    const gone = uploadOf(from.root, objectOf(xorshiftBytes(6, 1000)));
    fs.rmSync(gone.path);
    const short = { ...uploadOf(from.root, objectOf(xorshiftBytes(7, 1000))), size: 1001 };
    const lines = [
      initOf('upload'),
      uploadOf(from.root, wrong),
      gone,
      short,
      { event: 'upload', oid: 'x', size: 1, path: '/x' },
      downloadOf(right),
      uploadOf(from.root, right),
    ];
    const replies = completed(await askAgent(from.open, lines, { remote }));
    expect(replies.map(({ error }) => error?.message ?? 'done')).toEqual([
      expect.stringContaining('is damaged here: its bytes have the digest'),
      expect.stringContaining('no such file'),
      expect.stringContaining('1000 bytes instead of 1001'),
      'x is no SHA-256 digest',
      expect.stringContaining('the other way'),
      'done',
    ]);
    expect(replies.map(({ error }) => error?.code)).toEqual([5, 3, 5, 2, 2, undefined]);
    // Nothing is to be had by the wrong name.
    const clone = await expectThere(from, place, right);
    const absent = [initOf('download'), downloadOf(wrong), { ...downloadOf(right), size: 7 }];
    const [missing, size] = completed(await askAgent(clone.open, absent, { remote }));
    expect(missing?.error).toMatchObject({ code: 4 });
    expect(missing?.error?.message).toContain('[objects-missing]');
    expect(size?.error).toMatchObject({ code: 5 });
  });

  it('finds what was pushed since it looked', async () => {
    const objects = [8, 9].map((seed) => objectOf(xorshiftBytes(seed, 300_000)));
    await send(from, objects[0] as LfsTestObject);
    const clone = cloneProject(from, withRemotes({ origin: place }));
    const replies: object[] = [];
    async function* input(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(`${JSON.stringify(initOf('download'))}\n`);
      yield Buffer.from(`${JSON.stringify(downloadOf(objects[0] as LfsTestObject))}\n`);
      await send(from, objects[1] as LfsTestObject);
      yield Buffer.from(`${JSON.stringify(downloadOf(objects[1] as LfsTestObject))}\n`);
    }
    const write = async (reply: Uint8Array) =>
      void replies.push(JSON.parse(Buffer.from(reply).toString()));
    await askAgent(clone.open, [], { remote, input: input(), write });
    expect(completed(replies).map(({ error }) => error)).toEqual([undefined, undefined]);
  });

  it('takes the mode that core.sharedRepository says, and the storage that lfs.storage names', async () => {
    const object = objectOf(xorshiftBytes(10, 1000));
    await send(from, object);
    const clone = cloneProject(from, withRemotes({ origin: place }));
    git(clone.root, 'config', 'core.sharedRepository', 'all');
    git(clone.root, 'config', 'lfs.storage', 'elsewhere');
    const lines = [initOf('download'), downloadOf(object)];
    const [reply] = completed(await askAgent(clone.open, lines, { remote }));
    expect(path.dirname(reply?.path ?? '')).toBe(clone.at('.git/elsewhere/tmp'));
    expect(fs.statSync(reply?.path ?? '').mode & 0o064).toBe(0o064);
  });

  it('tells at once where nothing can work', async () => {
    const cases: [Promise<object[]>, number, string][] = [
      [askAgent(from.open, [initOf('upload')], { remote: 'nowhere' }), 3, '[unknown-remote]'],
      [
        askAgent(() => from.open({ offline: true }), [initOf('upload')], {
          remote: 'https://example.com/x',
        }),
        8,
        '[offline]',
      ],
    ];
    for (const [asked, code, text] of cases) {
      const [reply, ...more] = (await asked) as { error?: { code: number; message: string } }[];
      expect(more).toEqual([]);
      expect(reply?.error?.code).toBe(code);
      expect(reply?.error?.message).toContain(text);
    }
  });

  it('ends with its reader', async () => {
    const objects = [11, 12].map((seed) => objectOf(xorshiftBytes(seed, 300_000)));
    const empty = await emptyRemote();
    const made = await project(empty);
    const lines = [initOf('upload'), ...objects.map((one) => uploadOf(made.root, one))];
    const write = async () => Promise.reject(new Error('EPIPE'));
    await askAgent(made.open, lines, { remote, write });
    const keys: string[] = [];
    for await (const { key } of empty.list('roots/')) keys.push(key);
    expect(keys).toEqual([]);
  });

  it.each(['hello', '{"event":"verify"}', '{"event":"download","oid":"x","size":1}'])(
    'ends where what asks is not Git LFS: %s',
    async (line) => {
      const lines = line.includes('download') ? [downloadOf(objectOf(Buffer.from('x')))] : [line];
      await expect(askAgent(from.open, lines, { remote })).rejects.toMatchObject({
        code: 'usage',
      });
    },
  );
});

describe('objects of Git LFS on a remote that fails', () => {
  it('are whole there or not at all, whichever call fails, and the same push again sends the rest', async () => {
    const object = objectOf(xorshiftBytes(13, 400_000));
    for (let call = 1; ; call++) {
      const under = await emptyRemote();
      const place = faulty(under);
      const made = await project(place);
      place.failAt(place.calls + call, call % 2 === 0 ? 'afterWrite' : 'before');
      const lines = [initOf('upload'), uploadOf(made.root, object)];
      const first = await askAgent(made.open, lines, { remote });
      if (place.faults === 0) {
        expect(call).toBeGreaterThan(8);
        break;
      }
      const error = first[0]?.error ?? completed(first)[0]?.error;
      if (error !== undefined) expect(error.message).toContain('[remote-unreachable]');
      place.heal();
      expect((await send(made, object))[0]?.error).toBeUndefined();
      made.commit();
      await expectThere(made, under, object);
    }
  });

  it('leave nothing behind that came damaged', async () => {
    const under = await emptyRemote();
    const place = faulty(under);
    const made = await project(place);
    const object = objectOf(xorshiftBytes(14, 400_000));
    await send(made, object);
    made.commit();
    const clone = cloneProject(made, withRemotes({ origin: place }));
    const lines = [initOf('download'), downloadOf(object), downloadOf(object)];
    // The header, the index object and the recipe come before the pack.
    place.fail('get', { call: 4, how: 'flip' });
    const [damaged, again] = completed(await askAgent(clone.open, lines, { remote }));
    expect(damaged?.error).toMatchObject({ code: 5 });
    expect(again?.error).toBeUndefined();
    expect(fs.readdirSync(clone.at('.git/lfs/tmp'))).toEqual([path.basename(again?.path ?? '')]);
  });
});

it('an object is not called complete where a pack that is cut short has the name of the one to be sent', async () => {
  const place = await emptyRemote();
  const made = await project(place);
  const object = objectOf(xorshiftBytes(16, 400_000));
  await send(made, object);
  for await (const { key } of place.list('packs/')) {
    const parts: Uint8Array[] = [];
    for await (const part of place.get(key)) parts.push(Buffer.from(part));
    const whole = Buffer.concat(parts);
    await place.delete(key);
    await place.create(key, bytesSource(whole.subarray(0, -100)));
  }
  const [reply] = await send(made, object);
  expect(reply?.error).toMatchObject({ code: 5 });
  expect(reply?.error?.message).toContain('[corrupt-remote]');
});

describe('a clean-up', () => {
  it('keeps objects of Git LFS whatever its policy is, until it is told to forget them', async () => {
    const clock = handClock();
    const place = await emptyRemote('memory://test', clock);
    const made = await makeProject(withRemotes({ origin: place }, { clock }));
    const { gcRemote } = cleaners(made);
    const object = objectOf(xorshiftBytes(15, 400_000));
    made.write('model.bin', 'a model');
    await made.add('model.bin');
    made.commit();
    await made.push();
    await send(made, object);
    clock.pass(30 * dayMs);
    await gcRemote({ policy: { last: 0 }, graceMs: 0 });
    clock.pass(30 * dayMs);
    await gcRemote({ policy: { last: 0 }, forget: [repositoryOf(await made.open())], graceMs: 0 });
    clock.pass(30 * dayMs);
    await gcRemote({ graceMs: 0 });
    await expectThere(made, place, object);

    const { lfsRepositoryOf } = await import('../../src/flow/lfs/lfs-roots.ts');
    await gcRemote({ forget: [lfsRepositoryOf(await made.open())], graceMs: 0 });
    clock.pass(30 * dayMs);
    await gcRemote({ graceMs: 0 });
    const clone = cloneProject(made, withRemotes({ origin: place }));
    const lines = [initOf('download'), downloadOf(object)];
    const [gone] = completed(await askAgent(clone.open, lines, { remote }));
    expect(gone?.error?.message).toContain('[objects-missing]');
    // Whoever pushes it again has it kept again.
    expect((await send(made, object))[0]?.error).toBeUndefined();
    clock.pass(30 * dayMs);
    await gcRemote({ graceMs: 0 });
    await expectThere(made, place, object);
  });
});
