import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as net from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type CliWorkspace, expectGood, expectRefused, makeWorkspace } from '../support/cli.ts';
import { requireOrSkip } from '../support/tmpfs.ts';

function makeFifo(ws: CliWorkspace, relative: string): void {
  execFileSync('mkfifo', [ws.at(relative)]);
}

function makeDevice(ws: CliWorkspace, relative: string): void {
  requireOrSkip(process.getuid?.() === 0, 'Only root makes devices');
  execFileSync('mknod', [ws.at(relative), 'c', '1', '3']);
}

async function makeSocket(ws: CliWorkspace, relative: string): Promise<void> {
  const server = net.createServer();
  onTestFinished(() => void server.close());
  server.listen(ws.at(relative));
  await once(server, 'listening');
}

describe('add refuses what has no bytes', () => {
  test.each([
    ['a FIFO', makeFifo],
    ['a socket', makeSocket],
    ['a device', makeDevice],
  ] as const)('%s', async (what, make) => {
    const ws = await makeWorkspace();
    ws.write('bert/config.json', '{}');
    await make(ws, 'bert/special');
    await expectRefused(ws, ['add', 'bert/special'], {
      code: 'unsupported-file-type',
      message: new RegExp(`^bert/special is ${what}, not a file or directory$`),
      hint: /Add a file or a directory/,
    });
    const { json } = await expectRefused(ws, ['add', 'bert'], {
      code: 'unsupported-file-type',
      message: new RegExp(`^bert/special is ${what}, which has no bytes to store$`),
      hint: /Remove it, or list it in \.mstoreignore/,
    });
    expect(json.error?.details).toMatchObject({ path: 'bert/special' });
    // The hint works, and what is there stays.
    ws.write('.mstoreignore', 'special\n');
    await ws.ok('add', 'bert');
    await expectGood(ws);
    expect(fs.lstatSync(ws.at('bert/special')).isFile()).toBe(false);
  });

  test('a FIFO that takes the place of a tracked file: nothing hangs, nothing is lost', async () => {
    const ws = await makeWorkspace();
    ws.write('a.onnx', 'a');
    await ws.add('a.onnx');
    ws.remove('a.onnx');
    execFileSync('mkfifo', [ws.at('a.onnx')]);
    const { stdout } = await ws.ok('status');
    expect(stdout).toMatch(/modified {3}a\.onnx/);
    expect(stdout).toMatch(/It is a FIFO/);
    await expectRefused(ws, ['checkout'], {
      code: 'would-overwrite',
      message: /^a\.onnx would be overwritten/,
      hint: /--force/,
    });
  });
});

describe('add refuses links', () => {
  test('that are given themselves', async () => {
    const ws = await makeWorkspace();
    ws.write('a.onnx', 'a');
    fs.symlinkSync('a.onnx', ws.at('b.onnx'));
    await expectRefused(ws, ['add', 'b.onnx'], {
      code: 'unsupported-file-type',
      message: /b\.onnx is a symbolic link/,
      hint: /what the link stands for/,
    });
  });

  test.each([
    ['to what lies beside the directory', { out: '../a.onnx' }],
    ['to an absolute path', { out: '/etc/hostname' }],
    ['to an absolute path in the directory itself', { out: '/proc/self/cwd/bert/x/y/f' }],
    ['through another link', { a: 'x/y', out: 'a/../../..' }],
    ['through two other links', { a: 'b/..', b: 'x/y', out: 'a/../../a.onnx' }],
  ])('that leave the directory: %s', async (_, links) => {
    const ws = await linked({ ...links, 'x/y/fine': '../../x/./y//f' });
    await expectRefused(ws, ['add', 'bert'], {
      code: 'link-leaves',
      message: /^bert\/out is a link to .* that leaves the directory$/,
      hint: /Replace the link/,
    });
  });

  test.each([
    ['to itself', { a: 'a' }, 0],
    ['two to each other', { a: 'x/b', 'x/b': '../a' }, 1],
    ['three through folders', { a: 'b/f', b: 'c', c: 'a/..' }, 2],
  ])('that loop: %s', async (_, links, others) => {
    const ws = await linked(links);
    const more = others === 0 ? '' : ` \\(and ${others} more like it\\)`;
    await expectRefused(ws, ['add', 'bert'], {
      code: 'link-loop',
      message: new RegExp(`^bert/a is a link to .* that is part of a loop of links${more}$`),
      hint: /Replace the link/,
    });
  });

  test('but keeps those that stay inside, however they wind', async () => {
    const links = { a: 'x/y', back: 'a/..', 'x/y/up': '../../x/y/f', dangling: 'nothing/here' };
    const ws = await linked(links);
    await ws.ok('add', 'bert');
    fs.rmSync(ws.at('bert'), { recursive: true });
    await ws.ok('checkout');
    for (const [at, target] of Object.entries(links)) {
      expect(fs.readlinkSync(ws.at(`bert/${at}`))).toBe(target);
    }
    expect(ws.read('bert/back/y/up').toString()).toBe('f');
    await expectGood(ws);
  });

  async function linked(links: Record<string, string>): Promise<CliWorkspace> {
    const ws = await makeWorkspace();
    ws.write('a.onnx', 'a');
    ws.write('bert/x/y/f', 'f');
    for (const [at, target] of Object.entries(links)) fs.symlinkSync(target, ws.at(`bert/${at}`));
    return ws;
  }
});

describe('names', () => {
  const control = /has a control character such as a newline in its name$/;

  test('with a newline or an escape sequence are refused, and shown escaped', async () => {
    const ws = await makeWorkspace();
    for (const [name, shown] of [
      ['a\nb', 'a\\u{a}b'],
      ['a\u001b[31mb', 'a\\u{1b}[31mb'],
    ] as const) {
      ws.write(`bert/${name}`, '1');
      for (const given of ['bert', `bert/${name}`]) {
        await expectRefused(ws, ['add', given], {
          code: 'bad-name',
          message: new RegExp(`^bert/${shown.replace(/[\\{}[\]]/g, '\\$&')} ${control.source}`),
          hint: /Rename it/,
        });
      }
      const { stderr } = await ws.run('add', 'bert');
      expect(stderr).toContain(`bert/${shown}`);
      expect(stderr).not.toContain(name);
      ws.remove('bert');
    }
  });

  test('of 255 bytes in a directory round trip; as a tracked path they are refused', async () => {
    const ws = await makeWorkspace();
    const longest = 'x'.repeat(255);
    const umlauts = `${'ü'.repeat(127)}x`;
    ws.write(`bert/${longest}`, 'one byte each');
    ws.write(`bert/${umlauts}`, 'two bytes each');
    await ws.ok('add', 'bert');
    ws.remove('bert');
    await ws.ok('checkout');
    expect(ws.read(`bert/${longest}`).toString()).toBe('one byte each');
    expect(ws.read(`bert/${umlauts}`).toString()).toBe('two bytes each');
    await ws.ok('checkout', '--to', ws.at('../out'));
    expect(fs.readdirSync(ws.at('../out'))).toHaveLength(2);
    await expectGood(ws);

    ws.write(longest, '1');
    ws.write('y'.repeat(249), '1');
    for (const given of [longest, 'y'.repeat(249)]) {
      await expectRefused(ws, ['add', given], {
        code: 'bad-name',
        message: /has a name too long for its pointer/,
        hint: /at most 248 bytes/,
      });
    }
    ws.write('z'.repeat(248), '1');
    await ws.ok('add', 'z'.repeat(248));
    await expectGood(ws);
  });

  test('that are not UTF-8 are refused', async () => {
    const ws = await makeWorkspace();
    ws.write('bert/config.json', '{}');
    fs.writeFileSync(Buffer.concat([Buffer.from(`${ws.at('bert')}/`), badName]), '1');
    await expectRefused(ws, ['add', 'bert'], {
      code: 'bad-name',
      message: /^bert\/.* has bytes that are not UTF-8 in its name$/,
      hint: /Rename it, or list it in \.mstoreignore/,
    });
    // Node itself decodes arguments: the name arrives with a replacement character.
    await expectRefused(ws, ['add', `bert/${badName.toString()}`], {
      code: 'bad-name',
      message: /has bytes that are not UTF-8 in its name$/,
      hint: /Rename it/,
    });
  });

  const badName = Buffer.from([0x77, 0xff, 0xfe]);

  test('that differ only by case are refused, of files and of folders', async () => {
    const ws = await makeWorkspace();
    ws.write('bert/Config', '1');
    ws.write('bert/config', '2');
    ws.write('bart/Sub/1', '1');
    ws.write('bart/sub/2', '2');
    await expectRefused(ws, ['add', 'bert'], {
      code: 'name-collision',
      message: /^bert\/config and Config differ only by case or Unicode form/,
      hint: /Rename one of them/,
    });
    await expectRefused(ws, ['add', 'bart'], {
      code: 'name-collision',
      message: /^bart\/sub and Sub differ only by case or Unicode form/,
      hint: /Rename one of them/,
    });
  });

  test('that differ only by Unicode form are refused', async () => {
    const ws = await makeWorkspace();
    ws.write('bert/caf\u00e9', '1');
    ws.write('bert/cafe\u0301', '2');
    await expectRefused(ws, ['add', 'bert'], {
      code: 'bad-name',
      message: /has letters in a decomposed Unicode form/,
      hint: /Rename it/,
    });
    ws.remove('bert/cafe\u0301');
    // Two composed letters that fall together when case is folded: the Kelvin sign and k.
    ws.write('bert/\u00e5', '1');
    ws.write('bert/\u00c5', '2');
    await expectRefused(ws, ['add', 'bert'], {
      code: 'name-collision',
      message: /differ only by case or Unicode form/,
      hint: /Rename one of them/,
    });
  });

  test('that change the direction of text are printed escaped', async () => {
    const ws = await makeWorkspace();
    ws.write('bert/a\u202eb', '1');
    await ws.ok('add', 'bert');
    const { stdout } = await ws.ok('ls');
    expect(stdout).toContain('bert/a\\u{202e}b');
    expect(stdout).not.toContain('\u202e');
  });
});

describe('what is empty', () => {
  test('an empty file, an empty directory and nested empty directories round trip', async () => {
    const ws = await makeWorkspace();
    ws.write('empty.onnx', '');
    fs.mkdirSync(ws.at('hollow'));
    fs.mkdirSync(ws.at('nested/a/b'), { recursive: true });
    ws.write('nested/none', '');
    await ws.ok('add', 'empty.onnx', 'hollow', 'nested');
    await expectGood(ws);
    await ws.ok('push');
    for (const name of ['empty.onnx', 'hollow', 'nested', '.modelstore/store']) ws.remove(name);
    await ws.ok('pull');
    await expectGood(ws);
    expect(ws.read('empty.onnx')).toHaveLength(0);
    expect(fs.readdirSync(ws.at('hollow'))).toEqual([]);
    expect(fs.readdirSync(ws.at('nested/a/b'))).toEqual([]);
    await ws.ok('checkout', '--to', ws.at('../out'), 'nested');
    expect(fs.readdirSync(ws.at('../out')).sort()).toEqual(['a', 'none']);
    await ws.ok('checkout', '--to', ws.at('../out2'), 'hollow');
    expect(fs.readdirSync(ws.at('../out2'))).toEqual([]);
  });
});
