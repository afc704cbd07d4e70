import { describe, expect, it } from 'vitest';
import { isMstoreError, MstoreError } from '../../src/base/errors.ts';
import { type FetchResult, fetch } from '../../src/flow/fetch.ts';
import { pushToAll } from '../../src/flow/push-all.ts';
import {
  chooseFetchRemotes,
  choosePushRemotes,
  type RemoteChoice,
} from '../../src/flow/several-remotes.ts';
import { trackedInWorkspace } from '../../src/flow/tracked.ts';
import { localRemote } from '../../src/remote/local.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { copyOfRemote } from '../support/flow-faults.ts';
import {
  emptyRemote,
  makePlainProject,
  type Project,
  projectAt,
  withRemotes,
} from '../support/flow-project.ts';
import { checkRemote, damage, flipAt } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { filesBelow, stateOf } from '../support/flow-state.ts';
import { listKeys } from '../support/remote-bytes.ts';
import { faulty } from '../support/remote-faulty.ts';

const mib = 1024 * 1024;

/** A project with one pack of many chunks and one of small files, and a remote that has all of it. */
async function pushed(): Promise<{ project: Project; remote: RemotePruner }> {
  const project = await makePlainProject();
  project.write('big.bin', noise(3 * mib, 'big'));
  await project.add('big.bin');
  for (let n = 0; n < 12; n++) project.write(`parts/${n}`, noise(30_000, n));
  project.write('one.bin', noise(400_000, 'one'));
  await project.add('parts', 'one.bin');
  const remote = await emptyRemote('memory://whole');
  await pushTo(project, { whole: remote });
  return { project, remote };
}

type Remotes = Readonly<Record<string, RemotePruner>>;

function choicesOf(remotes: Remotes): RemoteChoice[] {
  return Object.entries(remotes).map(([name, remote]) => ({ name, remote: counting(remote) }));
}

async function pushTo(project: Project, remotes: Remotes, paths?: readonly string[]) {
  const workspace = await project.open();
  const all = trackedInWorkspace(workspace).tracked;
  const tracked = all.filter(({ path }) => paths?.includes(path) ?? true);
  return pushToAll(workspace, tracked, choicesOf(remotes));
}

/** Fetches into an empty store with the pointers of a project. */
async function fetchFrom(project: Project, remotes: Remotes | readonly RemoteChoice[]) {
  const copy = await makePlainProject();
  for (const file of filesBelow(project.root)) {
    if (file.endsWith('.mstore')) copy.write(file, project.read(file));
  }
  const workspace = await copy.open();
  const { tracked } = trackedInWorkspace(workspace);
  const choices = Array.isArray(remotes) ? remotes : choicesOf(remotes as Remotes);
  const outcome = await fetch(workspace, tracked, choices).catch((error: unknown) => {
    if (!isMstoreError(error)) throw error;
    return error;
  });
  // Whatever happened: all that is visible is whole, and nothing is left under construction.
  const store = copy.at('.modelstore/store');
  expect(filesBelow(`${store}/tmp`)).toEqual([]);
  if (filesBelow(store).length > 0) await checkRemote(localRemote(store));
  return { copy, outcome };
}

async function expectFetched(project: Project, remotes: Remotes | readonly RemoteChoice[]) {
  const { copy, outcome } = await fetchFrom(project, remotes);
  if (outcome instanceof MstoreError) throw outcome;
  await copy.checkout();
  expect(stateOf(copy.root)).toEqual(stateOf(project.root));
  return outcome;
}

async function expectFailed(project: Project, remotes: Remotes | readonly RemoteChoice[]) {
  const { copy, outcome } = await fetchFrom(project, remotes);
  if (!(outcome instanceof MstoreError)) throw new Error('The fetch has succeeded');
  return { copy, error: outcome };
}

const share = (result: FetchResult, name: string) => {
  const found = result.remotes.find(({ remote }) => remote === name);
  if (found === undefined) throw new Error(`${name} was not asked`);
  return found;
};

async function packsOf(remote: RemotePruner): Promise<string[]> {
  return listKeys(remote, 'packs/');
}

/** The largest pack: that of the big file. */
async function bigPack(remote: RemotePruner): Promise<string> {
  for (const key of await packsOf(remote)) {
    if (((await remote.stat(key)) ?? 0) > 2 * mib) return key;
  }
  throw new Error('There is no big pack');
}

function unreachable(location: string): RemotePruner {
  const fail = (): never => {
    throw new MstoreError('remote-unreachable', `Cannot open the remote ${location}`, {
      hint: 'Mount it',
    });
  };
  return { location, get: fail, stat: fail, list: fail, create: fail, delete: fail };
}

describe('fetch from several remotes', () => {
  it('asks the first alone where it has everything', async () => {
    const { project, remote } = await pushed();
    const second = counting(await copyOfRemote(remote));
    const result = await expectFetched(project, { first: remote, second });
    expect(result).toMatchObject({ remote: 'first', location: 'memory://whole' });
    expect(result.remotes).toEqual([
      {
        remote: 'first',
        location: 'memory://whole',
        chunksFetched: result.chunksFetched,
        bytesReceived: result.bytesReceived,
        missingBytes: 0,
        problems: [],
      },
    ]);
    const { get, stat, list } = second.counts();
    expect([get.calls, stat.calls, list.calls]).toEqual([0, 0, 0]);
  });

  it('takes from the second what the first lacks, and no more', async () => {
    const { project, remote } = await pushed();
    const half = await emptyRemote('memory://half');
    await pushTo(project, { half }, ['big.bin']);
    const result = await expectFetched(project, { half, whole: remote });
    expect(share(result, 'half').missingBytes).toBeGreaterThan(400_000);
    expect(share(result, 'half').problems).toEqual([]);
    expect(share(result, 'whole').bytesReceived).toBeLessThan(mib);
    expect(share(result, 'whole').chunksFetched).toBeGreaterThan(12);
    expect(share(result, 'whole').missingBytes).toBe(0);
  });

  it.each([[['one', 'two']], [['two', 'one']]])(
    'puts together what two have one half of each (%s)',
    async (order) => {
      const { project, remote } = await pushed();
      const [one, two] = [await copyOfRemote(remote), await copyOfRemote(remote)];
      const [first, second] = await packsOf(remote);
      await one.delete(first ?? '');
      await two.delete(second ?? '');
      const both: Remotes = { one, two };
      const chosen = Object.fromEntries(order.map((name) => [name, both[name] as RemotePruner]));
      const result = await expectFetched(project, chosen);
      for (const name of order) expect(share(result, name).chunksFetched).toBeGreaterThan(0);
    },
  );

  it('puts one blob together of chunks that no remote has all of', async () => {
    const { project } = await pushed();
    const [one, two] = [await emptyRemote('memory://one'), await emptyRemote('memory://two')];
    const whole = project.read('big.bin');
    for (const [remote, bytes] of [
      [one, whole.subarray(0, 2 * mib)],
      [two, whole.subarray(mib)],
    ] as const) {
      const part = await makePlainProject();
      part.write('part.bin', bytes);
      await part.add('part.bin');
      await pushTo(part, { remote });
    }
    // Both have the recipe, and neither has all of its chunks.
    const full = await emptyRemote();
    await pushTo(project, { full }, ['big.bin']);
    const [recipe] = await listKeys(full, 'recipes/');
    const { readObject } = await import('../support/remote-bytes.ts');
    const { bytesSource } = await import('../../src/remote/remote.ts');
    await one.create(recipe ?? '', bytesSource(await readObject(full, recipe ?? '')));
    const only = await makePlainProject();
    only.write('big.bin.mstore', project.read('big.bin.mstore'));
    const { copy, outcome } = await fetchFrom(only, { one, two });
    if (outcome instanceof MstoreError) throw outcome;
    expect(share(outcome, 'one').missingBytes).toBeGreaterThan(900_000);
    expect(share(outcome, 'two').chunksFetched).toBeGreaterThan(2);
    await copy.checkout();
    expect(copy.read('big.bin').equals(whole)).toBe(true);
  });

  it('takes the recipe of the remote that cuts a blob in its own way', async () => {
    const { project, remote } = await pushed();
    // A recipe whose chunks nobody has, as an older format may have cut them.
    const stranger = await emptyRemote('memory://stranger');
    const { Recipe, formatRecipe, parseRecipe } = await import('../../src/store/recipe.ts');
    const { readObject } = await import('../support/remote-bytes.ts');
    const { bytesSource } = await import('../../src/remote/remote.ts');
    const { parseDigest } = await import('../../src/base/digest.ts');
    for (const key of await listKeys(remote, 'recipes/')) {
      const blob = parseDigest(key.split('/').at(-1));
      const { size, rows } = parseRecipe(await readObject(remote, key), blob);
      const others = Buffer.from(rows);
      for (let at = 0; at < others.length; at += 36) others[at] = (others[at] as number) ^ 0xff;
      await stranger.create(key, bytesSource(formatRecipe(new Recipe(blob, size, others))));
    }
    const result = await expectFetched(project, { stranger, whole: remote });
    expect(share(result, 'stranger').chunksFetched).toBe(0);
  });

  it('goes on where the first cannot be reached, and says so', async () => {
    const { project, remote } = await pushed();
    const result = await expectFetched(project, { gone: unreachable('/mnt/gone'), remote });
    expect(share(result, 'gone')).toMatchObject({
      location: '/mnt/gone',
      chunksFetched: 0,
      problems: [
        {
          code: 'remote-unreachable',
          message: 'Cannot open the remote /mnt/gone',
          hint: 'Mount it',
        },
      ],
    });
  });

  it('passes over what cannot be opened offline, and says so', async () => {
    const { project, remote } = await pushed();
    const error = new MstoreError('offline', 'Cannot open s3://far: it needs the network');
    const far: RemoteChoice = { name: 'far', error };
    const near: RemoteChoice = { name: 'near', remote: counting(remote) };
    const result = await expectFetched(project, [far, near]);
    expect(result.remote).toBe('far');
    expect(result.location).toBeUndefined();
    expect(share(result, 'far').problems).toEqual([{ code: 'offline', message: error.message }]);
    const alone = await expectFailed(project, [far]);
    expect(alone.error).toBe(error);
  });

  it('names all that were asked, and why each failed', async () => {
    const { project, remote } = await pushed();
    const lacking = await copyOfRemote(remote);
    for (const key of await packsOf(lacking)) await lacking.delete(key);
    const { copy, error } = await expectFailed(project, {
      empty: await emptyRemote('memory://empty'),
      gone: unreachable('/mnt/gone'),
      lacking,
    });
    expect(error.code).toBe('remote-unreachable');
    expect(error.hint).toBe('Mount it');
    expect(error.message).toMatch(
      /^3\.\d\d MiB of .* are to be had from none of 3 remotes\. empty: It does not have 3\.\d\d MiB\. gone: Cannot open the remote \/mnt\/gone\. lacking: It does not have 3\.\d\d MiB$/,
    );
    expect(error.details).toMatchObject({
      paths: ['big.bin', 'one.bin', 'parts'],
      remotes: ['empty', 'gone', 'lacking'],
    });
    expect(filesBelow(copy.at('.modelstore/store/packs'))).toEqual([]);
    const bare = await emptyRemote('memory://bare');
    const none = await expectFailed(project, { bare, lacking });
    expect(none.error.code).toBe('objects-missing');
  });
});

describe('fetch around damage', () => {
  it('takes one damaged chunk of a pack from the second, and that alone', async () => {
    const { project, remote } = await pushed();
    const damaged = await copyOfRemote(remote);
    await damage(damaged, await bigPack(damaged), flipAt(mib));
    const result = await expectFetched(project, { damaged, whole: remote });
    expect(share(result, 'whole').chunksFetched).toBe(1);
    expect(share(result, 'damaged').problems).toMatchObject([
      { code: 'corrupt-remote', message: /sent damaged data\. The chunk .* in the pack/ },
    ]);
  });

  it('puts together what is damaged at two, each in another place', async () => {
    const { project, remote } = await pushed();
    const [one, two] = [await copyOfRemote(remote), await copyOfRemote(remote)];
    const pack = await bigPack(remote);
    await damage(one, pack, flipAt(mib));
    await damage(two, pack, flipAt(2 * mib));
    const result = await expectFetched(project, { one, two });
    expect(share(result, 'two')).toMatchObject({ chunksFetched: 1, problems: [] });
  });

  it('fails where both hold the same chunk damaged, and has all but that', async () => {
    const { project, remote } = await pushed();
    const [one, two] = [await copyOfRemote(remote), await copyOfRemote(remote)];
    const pack = await bigPack(remote);
    await damage(one, pack, flipAt(mib));
    await damage(two, pack, flipAt(mib));
    const { copy, error } = await expectFailed(project, { one, two });
    expect(error).toMatchObject({ code: 'corrupt-remote', exitCode: 5 });
    expect(error.message).toMatch(/one: .*sent damaged data.*two: .*sent damaged data/s);
    expect(error.details).toMatchObject({ paths: ['big.bin'] });
    await copy.checkout(['parts', 'one.bin']);
    const again = projectAt(copy.root, withRemotes({ origin: remote }));
    expect(await again.fetch()).toMatchObject({ chunksFetched: 1 });
  });

  it.each([
    ['a pack cut short', 'packs/', (bytes: Buffer) => bytes.subarray(0, -1), /bytes instead of/],
    ['an index object', 'index/', flipAt(100), /\.idx is damaged/],
    ['a recipe', 'recipes/', flipAt(70), /The recipe of the blob .* is damaged/],
    ['the header', 'mstore.json', () => Buffer.from('{}'), /no header of an mstore store/],
  ] as const)('gets everything around %s, and says so', async (_, prefix, change, message) => {
    const { project, remote } = await pushed();
    const damaged = await copyOfRemote(remote);
    for (const key of await listKeys(damaged)) {
      if (key.startsWith(prefix)) await damage(damaged, key, change);
    }
    const result = await expectFetched(project, { damaged, whole: remote });
    const { problems } = share(result, 'damaged');
    expect(problems.length).toBeGreaterThan(0);
    for (const problem of problems) {
      expect(problem).toMatchObject({ code: 'corrupt-remote', message });
    }
  });

  it('says of a remote that has everything that an object of it is damaged', async () => {
    const { project, remote } = await pushed();
    const [index] = await listKeys(remote, 'index/');
    await damage(remote, index ?? '', flipAt(100));
    const result = await expectFetched(project, { whole: remote });
    expect(share(result, 'whole').problems).toMatchObject([
      { code: 'corrupt-remote', message: /\.idx is damaged: it is not the index of its pack/ },
    ]);
  });

  it('keeps what came of a pack on which the connection broke', async () => {
    const { project, remote } = await pushed();
    const broken = faulty(await copyOfRemote(remote));
    const only = await makePlainProject();
    only.write('big.bin.mstore', project.read('big.bin.mstore'));
    const calls = faulty(remote);
    await fetchFrom(only, { calls });
    broken.failAt(calls.calls, 'midway');
    const { copy, outcome } = await fetchFrom(only, { broken, whole: remote });
    if (outcome instanceof MstoreError) throw outcome;
    expect(share(outcome, 'broken').problems).toMatchObject([{ code: 'remote-unreachable' }]);
    // The chunks in the first half of the pack came, and are not asked of the second.
    expect(share(outcome, 'broken').chunksFetched).toBeGreaterThan(1);
    expect(share(outcome, 'whole').bytesReceived).toBeLessThan(2 * mib);
    await copy.checkout();
    expect(copy.read('big.bin').equals(project.read('big.bin'))).toBe(true);
  });

  it.each(['before', 'midway', 'truncate', 'flip'] as const)(
    'survives a fault (%s) at every call of the first in turn',
    async (how) => {
      const { project, remote } = await pushed();
      const clean = faulty(remote);
      await expectFetched(project, { clean });
      let told = 0;
      for (let call = 1; call <= clean.calls; call++) {
        const first = faulty(remote);
        first.failAt(call, how);
        const result = await expectFetched(project, { first, second: remote });
        expect(first.faults).toBe(1);
        told += share(result, 'first').problems.length;
      }
      expect(told).toBeGreaterThan(clean.calls / 2);
    },
  );
});

describe('push to several remotes', () => {
  it('pushes to each, and goes on after a failure', async () => {
    const { project } = await pushed();
    const [one, three] = [await emptyRemote('memory://one'), await emptyRemote('memory://three')];
    const gone = unreachable('/mnt/gone');
    const outcomes = await pushTo(project, { one, gone, three });
    expect(outcomes).toMatchObject([
      { remote: 'one', result: { remote: 'one', location: 'memory://one' } },
      { remote: 'gone', error: { code: 'remote-unreachable' } },
      { remote: 'three', result: { remote: 'three', location: 'memory://three' } },
    ]);
    expect([await checkRemote(one), await checkRemote(three)]).toEqual([1, 1]);
    const again = await pushTo(project, { one, three });
    expect(again).toMatchObject([{ result: { bytesSent: 0 } }, { result: { bytesSent: 0 } }]);
  });

  it('sends each what it lacks itself', async () => {
    const { project, remote } = await pushed();
    const half = await emptyRemote('memory://half');
    await pushTo(project, { half }, ['big.bin']);
    const outcomes = await pushTo(project, { remote, half });
    expect(outcomes).toMatchObject([{ result: { chunksSent: 0 } }, { remote: 'half' }]);
    const [, second] = outcomes;
    if (second === undefined || !('result' in second)) throw new Error('No result');
    expect(second.result.bytesSent).toBeGreaterThan(700_000);
    expect(second.result.bytesSent).toBeLessThan(mib);
    expect(await checkRemote(half)).toBe(2);
  });

  it('ends when it is interrupted', async () => {
    const { project } = await pushed();
    const workspace = await project.open();
    const { tracked } = trackedInWorkspace(workspace);
    const two = counting(await emptyRemote('memory://two'));
    const choices = [...choicesOf({ one: await emptyRemote('memory://one') })];
    const abort = new AbortController();
    const progress = {
      start: () => {},
      finish: () => {},
      advance: () => abort.abort(),
    };
    await expect(
      pushToAll(workspace, tracked, [...choices, { name: 'two', remote: two }], {
        signal: abort.signal,
        progress,
        jobs: 1,
      }),
    ).rejects.toMatchObject({ code: 'interrupted' });
    expect(two.counts().get.calls).toBe(0);
  });
});

describe('the remotes of a command', () => {
  async function configured(lines: string): Promise<Project> {
    const { memoryRemote } = await import('../../src/remote/memory.ts');
    const names = ['alpha', 'beta', 'gamma'];
    const remotes = Object.fromEntries(names.map((name) => [name, memoryRemote(name)]));
    const project = await makePlainProject(withRemotes(remotes));
    const urls = names.map((name) => `[remote.${name}]\nurl = "memory://${name}"\n`).join('');
    const config = project.read('.modelstore/config.toml').toString();
    project.write('.modelstore/config.toml', `${config}${urls}${lines}`);
    return project;
  }
  const namesOf = (choices: readonly RemoteChoice[]) => choices.map(({ name }) => name);
  const forFetch = async (project: Project, ...chosen: string[]) =>
    namesOf(await chooseFetchRemotes(await project.open(), chosen, project.root));
  const forPush = async (project: Project, ...chosen: string[]) =>
    namesOf(await choosePushRemotes(await project.open(), chosen, project.root));

  it('are the default one for a push, and all for a fetch, the default one first', async () => {
    const project = await configured('');
    const withDefault = project.read('.modelstore/config.toml').toString();
    project.write(
      '.modelstore/config.toml',
      withDefault.replace('[core]\n', '[core]\nremote = "beta"\n'),
    );
    expect(await forFetch(project)).toEqual(['beta', 'alpha', 'gamma']);
    expect(await forPush(project)).toEqual(['beta']);
  });

  it('are all for a fetch where none is the default; a push has to be told', async () => {
    const project = await configured('');
    expect(await forFetch(project)).toEqual(['alpha', 'beta', 'gamma']);
    await expect(forPush(project)).rejects.toMatchObject({ code: 'unknown-remote' });
  });

  it('are those of the lists, or those that were given, each once', async () => {
    const project = await configured(
      '[push]\nremotes = "gamma,alpha"\n[fetch]\nremotes = "alpha,gamma"\n',
    );
    expect(await forFetch(project)).toEqual(['alpha', 'gamma']);
    expect(await forPush(project)).toEqual(['gamma', 'alpha']);
    expect(await forFetch(project, 'beta', './dir', 'beta')).toEqual(['beta', './dir']);
    expect(await forPush(project, 'beta')).toEqual(['beta']);
  });

  it('must exist', async () => {
    const project = await configured('[push]\nremotes = "alpha,delta"\n');
    await expect(forPush(project)).rejects.toMatchObject({
      code: 'unknown-remote',
      message: 'push.remotes names delta, and there is no such remote',
    });
    await expect(forFetch(project, 'alpha', 'delta')).rejects.toMatchObject({
      code: 'unknown-remote',
    });
    const none = await makePlainProject();
    await expect(forFetch(none)).rejects.toMatchObject({ message: 'No remote is set up' });
  });

  it('may be ones that cannot be opened, unless somebody named them', async () => {
    const project = await configured('[remote.zeta]\nurl = "unknown://host/x"\n');
    const choices = await chooseFetchRemotes(await project.open(), [], project.root);
    expect(namesOf(choices)).toEqual(['alpha', 'beta', 'gamma', 'zeta']);
    await expect(forFetch(project, 'alpha', 'zeta')).rejects.toMatchObject({ code: 'usage' });
  });

  it('leave the lists when they are removed', async () => {
    const project = await configured(
      '[push]\nremotes = "gamma,alpha"\n[fetch]\nremotes = "gamma"\n',
    );
    const { removeRemote } = await import('../../src/flow/remotes.ts');
    await removeRemote(await project.open(), 'gamma');
    expect(await forPush(project)).toEqual(['alpha']);
    expect(await forFetch(project)).toEqual(['alpha', 'beta']);
  });
});
