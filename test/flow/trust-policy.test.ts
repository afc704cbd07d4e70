import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { promote, rollback } from '../../src/flow/environments.ts';
import { pullAlone } from '../../src/flow/pull-alone.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { makeHost } from '../support/resolving.ts';
import { makeFollower } from '../support/syncing.ts';
import { tempFolder } from '../support/temp.ts';
import { makeTrusting, refusalOf, signersOf, type Trusting } from '../support/trusting.ts';

/** Rules by which one of two has to sign, or both. */
async function withSigners(required: number): Promise<Trusting> {
  const ws = await makeTrusting();
  const rule = `[trust.production]\nsigners = ["alice", "bob"]\nrequired = ${required}`;
  ws.rules(`${signersOf(ws, 'alice', 'bob')}\n${rule}`);
  return ws;
}

/** The file of an object of the registry on the remote. */
function objectOf(ws: Trusting, key: string): string {
  return path.join(ws.remote, 'refs/models/bert', key);
}

function change(file: string, from: RegExp | string, to: string): void {
  fs.chmodSync(file, 0o644);
  const text = fs.readFileSync(file, 'utf8');
  expect(text).toMatch(from);
  fs.writeFileSync(file, text.replace(from, to));
}

describe('an environment whose versions have to be signed', () => {
  it('takes what enough of them signed, and nothing else', async () => {
    const ws = await withSigners(2);
    const none = await refusalOf(ws.deployAs(undefined, 'v1'));
    expect(none).toMatchObject({ code: 'untrusted', exitCode: 5 });
    expect(none.message).toMatch(/0 of 2 signatures .* alice, bob; it has none/);
    await ws.sign('v1', 'alice', 'mallory');
    const one = await refusalOf(ws.deployAs(undefined, 'v1'));
    expect(one.message).toMatch(/1 of 2 .*is not of bob/);
    await ws.sign('v1', 'alice');
    expect((await refusalOf(ws.deployAs(undefined, 'v1'))).code).toBe('untrusted');
    await ws.sign('v1', 'bob');
    expect(await ws.deployAs(undefined, 'v1')).toMatchObject({ version: 'v1', number: 1 });
    expect((await refusalOf(ws.deployAs(undefined, 'v2'))).code).toBe('untrusted');
    // No rule asks for anything elsewhere.
    await ws.deployAs(undefined, 'v2', 'staging');
  });

  it('is refused to all who read it by its name when a signature goes', async () => {
    const ws = await withSigners(1);
    await ws.sign('v1', 'alice');
    await ws.deployAs(undefined, 'v1');
    const trust = { MSTORE_TRUST: ws.at('../trust.toml') };
    fs.copyFileSync(ws.at('.modelstore/config.toml'), trust.MSTORE_TRUST);
    const follower = makeFollower(ws.remote, {}, trust);
    await follower.once();
    const { surroundings } = makeHost(trust, {});
    const pulled = () => {
      const directory = path.join(tempFolder(), 'bert');
      const pull = { reference: 'bert@production', remotes: [ws.remote], directory };
      return pullAlone({ ...pull, cwd: tempFolder() }, surroundings);
    };
    expect((await pulled()).found.record.value.version).toBe('v1');
    fs.rmSync(objectOf(ws, 'signatures'), { recursive: true });
    expect((await refusalOf(pulled())).code).toBe('untrusted');
    expect(await follower.refused()).toMatchObject({ code: 'untrusted' });
    expect(follower.live()).toMatch(/v1/);
    fs.rmSync(ws.at('.modelstore/store/refs/models/bert/signatures'), { recursive: true });
    const workspace = await ws.open();
    const named = (name: string) => findTargets(workspace, [`bert@${name}`], ws.root);
    expect((await refusalOf(named('production'))).code).toBe('untrusted');
    expect((await named('v1')).version?.record.value.version).toBe('v1');
  });

  it('takes what other programs signed where the rule says so, on hosts too', async () => {
    const ws = await makeTrusting();
    const rules = (foreign: boolean) =>
      `${signersOf(ws, 'alice')}\n[trust.production]\nsigners = ["alice"]\nforeign = ${foreign}`;
    ws.rules(rules(false));
    await ws.attachForeign('v1', 'alice');
    expect((await refusalOf(ws.deployAs(undefined, 'v1'))).message).toMatch(/foreign = true/);
    ws.rules(rules(true));
    await ws.deployAs(undefined, 'v1');
    const trust = { MSTORE_TRUST: ws.at('.modelstore/config.toml') };
    const follower = makeFollower(ws.remote, {}, trust);
    await follower.once();
    expect(follower.live()).toMatch(/v1/);
  });

  it('goes back to nothing that does not count any more, and promotes nothing', async () => {
    const ws = await withSigners(1);
    await ws.sign('v1', 'alice');
    await ws.sign('v2', 'bob');
    await ws.deployAs(undefined, 'v1');
    await ws.deployAs(undefined, 'v2');
    const rule = '[trust.production]\nsigners = ["bob"]\n[trust.live]\nsigners = ["alice"]';
    ws.rules(`${signersOf(ws, 'alice', 'bob')}\n${rule}`);
    const workspace = await ws.open();
    const remote = await chooseRemote(workspace, undefined, ws.root);
    const target = { model: 'bert', environment: 'production' };
    expect(await refusalOf(rollback(workspace, target, { remote }))).toMatchObject({
      code: 'untrusted',
      message: expect.stringContaining('v1 may not be live'),
    });
    const step = { model: 'bert', from: 'production', to: 'live' };
    expect((await refusalOf(promote(workspace, step, { remote }))).code).toBe('untrusted');
  });
});

describe('a signature on a remote', () => {
  it.each<[string, (ws: Trusting, file: string) => void]>([
    ['of which a byte is another', (_, file) => change(file, '"sig":"M', '"sig":"N')],
    ['whose statement is another', (_, file) => change(file, /"payload":"e../, '"payload":"eyK')],
    ['that was cut off', (_, file) => fs.truncateSync(file, 100)],
    ['that is empty', (_, file) => fs.truncateSync(file, 0)],
    [
      'under the name of another version',
      (ws, file) => {
        const folder = objectOf(ws, 'signatures/v2');
        fs.mkdirSync(folder, { recursive: true });
        fs.renameSync(file, path.join(folder, path.basename(file)));
      },
    ],
  ])('counts for nothing %s', async (_, damage) => {
    const ws = await withSigners(1);
    await ws.sign('v1', 'alice');
    const folder = objectOf(ws, 'signatures/v1');
    const [name = ''] = fs.readdirSync(folder);
    damage(ws, path.join(folder, name));
    // Nothing of ours: a host that knows the remote alone.
    fs.rmSync(ws.at('.modelstore/store'), { recursive: true });
    for (const version of ['v1', 'v2']) {
      const { code } = await refusalOf(ws.deployAs(undefined, version));
      expect(['untrusted', 'corrupt-registry'], version).toContain(code);
    }
  });

  it('of the same files and another record is of another version', async () => {
    const ws = await withSigners(1);
    await ws.sign('v1', 'alice');
    await ws.publish('v3', { weights: 'one' });
    const [name = ''] = fs.readdirSync(objectOf(ws, 'signatures/v1'));
    fs.mkdirSync(objectOf(ws, 'signatures/v3'), { recursive: true });
    fs.copyFileSync(objectOf(ws, `signatures/v1/${name}`), objectOf(ws, `signatures/v3/${name}`));
    const refused = await refusalOf(ws.deployAs(undefined, 'v3'));
    expect(refused.message).toMatch(/it is of bert@v1, not of bert@v3/);
  });
});

describe('an environment that few may move', () => {
  async function withMovers(): Promise<Trusting> {
    const ws = await makeTrusting();
    ws.rules(`${signersOf(ws, 'alice', 'bob')}\n[trust.production]\nmovers = ["alice", "bob"]`);
    return ws;
  }

  it('is moved by their keys alone, and read where they did', async () => {
    const ws = await withMovers();
    expect((await refusalOf(ws.deployAs(undefined, 'v1'))).message).toMatch(/no key signs/);
    expect((await refusalOf(ws.deployAs('mallory', 'v1'))).message).toMatch(/is not theirs/);
    await ws.deployAs('alice', 'v1');
    const trust = { MSTORE_TRUST: ws.at('../trust.toml') };
    fs.copyFileSync(ws.at('.modelstore/config.toml'), trust.MSTORE_TRUST);
    const follower = makeFollower(ws.remote, {}, trust);
    await follower.once();
    // Somebody who may write to the remote, and goes by no rules.
    ws.rules('');
    await ws.deployAs(undefined, 'v2');
    expect(await follower.refused()).toMatchObject({
      code: 'untrusted',
      message: expect.stringMatching(/^Entry 2 of production of bert counts .* it is not signed/),
    });
    expect(follower.live()).toMatch(/v1/);
  });

  it('takes no signature of another entry, environment or time', async () => {
    const ws = await withMovers();
    await ws.deployAs('alice', 'v1');
    await ws.deployAs('alice', 'v1', 'staging');
    await ws.deployAs('alice', 'v2');
    const read = (key: string) => JSON.parse(fs.readFileSync(objectOf(ws, key), 'utf8'));
    const last = 'environments/production/00000002.json';
    const whole = read(last);
    const others = ['environments/production/00000001.json', 'environments/staging/00000001.json'];
    for (const other of [...others.map((key) => read(key).signature), undefined, {}, { x: 1 }]) {
      fs.chmodSync(objectOf(ws, last), 0o644);
      fs.writeFileSync(objectOf(ws, last), JSON.stringify({ ...whole, signature: other }));
      const trust = { MSTORE_TRUST: ws.at('.modelstore/config.toml') };
      const refused = await makeFollower(ws.remote, {}, trust).refused();
      expect(refused.code).toBe('untrusted');
    }
  });

  it('is confirmed by them where somebody else had moved it', async () => {
    const ws = await makeTrusting();
    await ws.deployAs(undefined, 'v1');
    ws.rules(`${signersOf(ws, 'alice')}\n[trust.production]\nmovers = ["alice"]`);
    const workspace = await ws.open();
    const asked = () => findTargets(workspace, ['bert@production'], ws.root);
    expect((await refusalOf(asked())).code).toBe('untrusted');
    expect(await ws.deployAs('alice', 'v1')).toMatchObject({ number: 2, unchanged: false });
    expect(await ws.deployAs('alice', 'v1')).toMatchObject({ unchanged: true });
    expect((await asked()).version?.record.value.version).toBe('v1');
  });
});

describe('keys that change', () => {
  async function deployedWith(dates: string): Promise<string> {
    const ws = await makeTrusting();
    const rule = '[trust.production]\nsigners = ["alice"]';
    ws.rules(`[signers.alice]\nkey = '${ws.key('alice')}.pub'\n${dates}\n${rule}`);
    await ws.sign('v1', 'alice');
    return ws.deployAs(undefined, 'v1').then(
      () => 'deployed',
      ({ message }: Error) => message,
    );
  }

  it.each([
    ['', 'deployed'],
    ['from = 2020-01-01', 'deployed'],
    ['from = 2999-01-01', 'counts from 2999-01-01 on'],
    ['until = 2999-01-01', 'deployed'],
    ['until = "2020-01-01"', 'counted until 2020-01-01'],
    ['revoked = 2999-01-01', 'deployed'],
    ['revoked = 2020-01-01', 'was revoked on 2020-01-01'],
  ])('count in their time: %s', async (dates, outcome) => {
    expect(await deployedWith(dates)).toContain(outcome);
  });

  it('are several of one person, who counts once', async () => {
    const ws = await makeTrusting();
    const keys = (['alice', 'mallory'] as const)
      .map((name) => `[[signers.alice]]\nkey = '${ws.key(name)}.pub'`)
      .join('\n');
    const rule = '[trust.production]\nsigners = ["alice", "bob"]\nrequired = 2';
    ws.rules(`${keys}\n${signersOf(ws, 'bob')}\n${rule}`);
    await ws.sign('v1', 'alice', 'mallory');
    expect((await refusalOf(ws.deployAs(undefined, 'v1'))).message).toMatch(/1 of 2/);
    await ws.sign('v1', 'bob');
    await ws.deployAs(undefined, 'v1');
  });
});
