import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { goBack, publishedAndFollowed } from '../support/syncing.ts';
import { tempFolder } from '../support/temp.ts';

const followed = () =>
  publishedAndFollowed({ v1: { a: 'one' }, v2: { a: 'two' }, v3: { a: 'three' } });

/** A command that writes down what it is told, and fails as another one says. */
function telling(then = 'true') {
  const file = path.join(tempFolder(), 'told');
  const words = ['STEP', 'VERSION', 'PREVIOUS'].map((name) => `\${MSTORE_${name}}`).join(' ');
  const command = `echo "${words} $(readlink "$MSTORE_CURRENT")" >> '${file}'; ${then}`;
  const told = (): string[] =>
    fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim().split('\n') : [];
  return { command, told };
}

describe('commands of sync', () => {
  it('run around each switch and are told of it', async () => {
    const { ws, follower } = await followed();
    const { command, told } = telling();
    const hooks = { check: command, before: command, after: command };
    await follower.once({ hooks });
    expect(told()).toEqual(['check v1  ', 'before v1  ', 'after v1  v1']);
    await follower.once({ hooks });
    expect(told()).toHaveLength(3);
    await ws.deploy('v2');
    await follower.once({ hooks });
    expect(told().slice(3)).toEqual(['check v2 v1 v1', 'before v2 v1 v1', 'after v2 v1 v2']);
    await goBack(ws, 'v1');
    const facts = 'env | grep ^MSTORE_ | sort; echo loud >&2';
    const { receipt } = await follower.once({ hooks: { check: facts } });
    const printed = follower.printed();
    for (const line of [
      'MSTORE_STEP=check',
      'MSTORE_MODEL=bert',
      'MSTORE_ENVIRONMENT=production',
      'MSTORE_VERSION=v1',
      'MSTORE_PREVIOUS=v2',
      `MSTORE_DIRECTORY=${follower.at('v1')}`,
      `MSTORE_CURRENT=${follower.at('current')}`,
      `MSTORE_TREE=${receipt.tree}`,
      `MSTORE_RECORD=${receipt.record}`,
      'loud',
    ])
      expect(printed).toContain(`${line}\n`);
  });

  it('keep a version out, with the code of a gate', async () => {
    const { ws, follower } = await followed();
    await follower.once();
    await ws.deploy('v2');
    for (const [hooks, step, how] of [
      [{ check: 'exit 3' }, 'check', 'ended with 3'],
      [{ before: 'kill -9 $$' }, 'before', 'was ended by SIGKILL'],
      [{ check: 'sleep 60', checkMsMax: 200 }, 'check', 'took more than 0.2 s'],
      [{ before: 'sleep 60 & wait', hookMsMax: 200 }, 'before', 'took more than 0.2 s'],
      [{ check: '/no/such/program' }, 'check', 'ended with 127'],
    ] as const) {
      const error = await follower.refused({ hooks });
      expect(error).toMatchObject({ code: 'check-refused', exitCode: 7, details: { step } });
      expect(error.message).toContain(how);
      expect(follower.texts()).toEqual({ a: 'one' });
      expect(follower.receipt()).toBeUndefined();
    }
    // A new run tries it again.
    expect(await follower.once({ hooks: { check: 'true' } })).toMatchObject({ switched: true });
  });

  it('take a switch back where the reload fails', async () => {
    const { ws, follower } = await followed();
    await follower.once();
    await ws.deploy('v2');
    const { command, told } = telling('test "$MSTORE_VERSION" != v2');
    const error = await follower.refused({ hooks: { after: command } });
    expect(error).toMatchObject({ code: 'check-refused', details: { step: 'after' } });
    expect(told()).toEqual(['after v2 v1 v2', 'back v1 v2 v1']);
    expect(follower.texts()).toEqual({ a: 'one' });
    expect(follower.receipt()).toBeUndefined();
    expect(follower.warnings.join()).toContain('v1 is live again');
    await ws.deploy('v3');
    expect(await follower.once({ hooks: { after: command } })).toMatchObject({ switched: true });
    expect(told().slice(2)).toEqual(['after v3 v1 v3']);
  });

  it('leave nothing live where nothing was', async () => {
    const { follower } = await followed();
    const error = await follower.refused({ hooks: { after: 'false' } });
    expect(error).toMatchObject({ code: 'check-refused' });
    expect(fs.readdirSync(follower.directory).sort()).toEqual(['.mstore-sync', 'v1']);
    expect(await follower.once()).toMatchObject({ done: 'kept', switched: true });
  });

  it('are run again where a crash came before the end of the reload', async () => {
    const { ws, follower } = await followed();
    await follower.once();
    await ws.deploy('v2');
    const ending = new AbortController();
    const running = follower.refused({
      hooks: { after: 'sleep 60' },
      signal: ending.signal,
    });
    while (follower.live() !== 'v2') await new Promise((resolve) => setTimeout(resolve, 5));
    ending.abort();
    expect(await running).toMatchObject({ code: 'interrupted' });
    expect(follower.live()).toBe('v2');
    const { command, told } = telling();
    await follower.once({ hooks: { after: command } });
    expect(told()).toEqual(['after v2 v1 v2']);
    await follower.once({ hooks: { after: command } });
    expect(told()).toHaveLength(1);
  });

  it('may print as much as they like, and leave something running', async () => {
    const { follower } = await followed();
    const check = 'yes | head -c 5000000; sleep 30 >/dev/null 2>&1 &';
    const before = performance.now();
    await follower.once({ hooks: { check } });
    expect(performance.now() - before).toBeLessThan(15_000);
    expect(follower.printed().length).toBeLessThan(1_100_000);
    expect(follower.printed()).toContain('more was printed');
  });
});
