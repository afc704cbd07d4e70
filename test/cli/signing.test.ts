import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type CliResult, type CliWorkspace, makeWorkspace, startMstore } from '../support/cli.ts';

async function makeSigned(): Promise<CliWorkspace> {
  const workspace = await makeWorkspace();
  workspace.write('bert/weights', 'one');
  workspace.write('bert/deep/config', '{}');
  await workspace.add('bert');
  await workspace.ok('register', 'm@v1', 'bert');
  await workspace.ok('keygen', '../alice');
  await workspace.ok('keygen', '../bob', '--type', 'p521');
  return workspace;
}

function run(
  workspace: CliWorkspace,
  env: NodeJS.ProcessEnv,
  ...args: string[]
): Promise<CliResult> {
  return startMstore(workspace.root, [...args, '--json'], { env }).done;
}

/** The exit code, and the code of the document. */
async function verdict(workspace: CliWorkspace, ...args: string[]): Promise<unknown[]> {
  const { code, stdout } = await run(workspace, {}, ...args);
  return [code, (JSON.parse(stdout) as { code?: unknown }).code];
}

const check = ['verify', 'm@v1', '--signature', '--key'];

describe('signatures on the command line', () => {
  it('are kept with a version, sent, fetched and packed with it', async () => {
    const workspace = await makeSigned();
    expect(await verdict(workspace, ...check, '../alice.pub')).toEqual([5, 'untrusted']);
    await workspace.ok('sign', 'm@v1', '--key', '../alice');
    await workspace.ok('sign', 'm@v1', '--key', '../bob');
    await workspace.ok(...check, '../bob.pub');
    await workspace.ok('push');
    await workspace.ok(...check, '../alice.pub', '--remote', 'origin');
    await workspace.ok('package', 'm@v1', '--output', '../m.tar.gz');
    workspace.remove('.modelstore/store');
    await workspace.ok('fetch', 'm@v1');
    await workspace.ok(...check, '../alice.pub');
    workspace.remove('.modelstore/store');
    await workspace.ok('unpackage', '../m.tar.gz');
    await workspace.ok(...check, '../bob.pub');
    await workspace.ok('verify');
  });

  it('of a version are none of another one, or of other content', async () => {
    const workspace = await makeSigned();
    await workspace.ok('sign', 'm@v1', '--key', '../alice', '--output', '../m.sig');
    await workspace.ok('register', 'm@v2', 'bert');
    await workspace.ok('register', 'other@v1', 'bert');
    workspace.write('bert/weights', 'two');
    await workspace.add('bert');
    await workspace.ok('register', 'm@v3', 'bert');
    for (const name of ['m@v2', 'other@v1', 'm@v3']) {
      const put = await run(workspace, {}, 'sign', name, '--attach', '../m.sig');
      expect(put.json.error, name).toMatchObject({ code: 'bad-signature' });
      const file = ['--signature', '../m.sig', '--key', '../alice.pub'];
      expect(await verdict(workspace, 'verify', name, ...file), name).toEqual([5, 'untrusted']);
    }
    await workspace.ok('verify', 'm@v1', '--signature', '../m.sig', '--key', '../alice.pub');
  });

  it('are checked against a directory, each byte and each name of it', async () => {
    const workspace = await makeSigned();
    await workspace.ok('sign', 'm@v1', '--key', '../alice', '--output', '../m.sig');
    await workspace.ok('export', 'm@v1', '--to', '../plain');
    const args = ['verify', '../plain', '--signature', '../m.sig', '--key', '../alice.pub'];
    await workspace.ok(...args);
    const changes: ReadonlyArray<readonly [() => void, RegExp]> = [
      [() => fs.writeFileSync(workspace.at('../plain/weights'), 'ONE'), /weights has other bytes/],
      [() => fs.writeFileSync(workspace.at('../plain/more'), ''), /more is there, and was not/],
      [() => fs.rmSync(workspace.at('../plain/deep/config')), /deep\/config, which is not there/],
      [
        () => fs.symlinkSync('weights', workspace.at('../plain/link')),
        /link is a link, and it was signed without any/,
      ],
    ];
    for (const [change, text] of changes) {
      change();
      expect(await verdict(workspace, ...args)).toEqual([5, 'untrusted']);
      expect((await run(workspace, {}, ...args)).stdout).toMatch(text);
      fs.rmSync(workspace.at('../plain'), { recursive: true });
      await workspace.ok('export', 'm@v1', '--to', '../plain');
    }
    fs.writeFileSync(workspace.at('../plain/.gitignore'), 'x');
    await workspace.ok(...args);
  });

  it('take keys from variables and commands, and show none of them', async () => {
    const workspace = await makeSigned();
    const key = fs.readFileSync(workspace.at('../alice'), 'utf8');
    const inText = await run(workspace, { K: key }, 'sign', 'm@v1', '--key-env', 'K');
    expect(inText.code, inText.stdout).toBe(0);
    const secret = { MSTORE_SIGNING_PASSPHRASE: 'secret words' };
    const made = await run(
      workspace,
      secret,
      'keygen',
      '../locked',
      '--passphrase-env',
      'MSTORE_SIGNING_PASSPHRASE',
    );
    expect(made.code, made.stdout).toBe(0);
    expect(fs.statSync(workspace.at('../locked')).mode & 0o077).toBe(0);
    const named = { ...secret, MSTORE_SIGNING_KEY: '../locked' };
    expect((await run(workspace, named, 'sign', 'm@v1')).code).toBe(0);
    const wrong = { ...named, MSTORE_SIGNING_PASSPHRASE: 'other words' };
    const refused = await run(workspace, wrong, 'sign', 'm@v1', '-v');
    expect(refused.json.error?.code).toBe('bad-key');
    expect(refused.stdout + refused.stderr).not.toMatch(/other words|PRIVATE KEY/);
    const script = `"${process.execPath}" -e "const c=require('crypto');const b=require('fs').readFileSync(0);process.stdout.write(c.sign('sha256',b,require('fs').readFileSync('../alice')).toString('base64'))"`;
    const byCommand = ['sign', 'm@v1', '--key-command', script, '--public-key'];
    await workspace.ok(...byCommand, '../alice.pub');
    const foreign = await run(workspace, {}, ...byCommand, '../bob.pub');
    expect(foreign.json.error?.message).toMatch(/no signature of the given public key/);
    const failing = await run(
      workspace,
      {},
      'sign',
      'm@v1',
      '--key-command',
      'exit 3',
      '--public-key',
      '../bob.pub',
    );
    expect(failing.json.error?.message).toMatch(/ended with 3/);
    const noisy = `"${process.execPath}" -e "process.stdout.write('x'.repeat(1e6))"`;
    const much = await run(
      workspace,
      {},
      'sign',
      'm@v1',
      '--key-command',
      noisy,
      '--public-key',
      '../bob.pub',
    );
    expect(much.json.error?.message).toMatch(/more than any signature has/);
  });

  it('need a version, a key, and never replace a file', async () => {
    const workspace = await makeSigned();
    const before = fs.readFileSync(workspace.at('../alice'));
    for (const [code, ...args] of [
      ['destination-exists', 'keygen', '../alice'],
      ['usage', 'sign', 'm@v1'],
      ['usage', 'sign', 'bert', '--key', '../alice'],
      ['usage', 'sign', 'm@v1', '--key', '../alice', '--key-env', 'X'],
      ['usage', 'sign', 'm@v1', '--key-env', 'NOTHING'],
      ['usage', 'sign', 'm@v1', '--key-command', 'true'],
      ['usage', 'sign', 'm@v1', '--key', '../alice', '--attach', 'x'],
      ['destination-exists', 'sign', 'm@v1', '--key', '../alice', '--output', 'bert'],
      ['not-found', 'sign', 'm@v1', '--key', '../nobody'],
      ['bad-key', 'sign', 'm@v1', '--key', '../alice.pub'],
      ['not-found', 'sign', 'm@v1', '--attach', 'nothing'],
      ['unknown-version', 'sign', 'm@v9', '--key', '../alice'],
      ['bad-key', ...check, '../alice'],
      ['usage', 'verify', 'm@v1', '--signature'],
      ['usage', 'verify', '--signature', '--key', '../alice.pub'],
    ]) {
      const { json } = await run(workspace, {}, ...args);
      expect(json.error?.code, args.join(' ')).toBe(code);
    }
    expect(fs.readFileSync(workspace.at('../alice'))).toEqual(before);
  });
});
