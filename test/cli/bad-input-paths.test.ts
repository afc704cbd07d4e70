import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectGood, expectRefused, makeWorkspace } from '../support/cli.ts';
import { commitFiles, git } from '../support/git.ts';
import { tempFolder } from '../support/temp.ts';

describe('add refuses a path by its place', () => {
  test('that does not exist', async () => {
    const ws = await makeWorkspace();
    ws.write('models/a.onnx', 'a');
    const expected = {
      code: 'not-found',
      message: /^models\/b\.onnx does not exist$/,
      hint: /spelling/,
    } as const;
    await expectRefused(ws, ['add', 'models/b.onnx'], expected);
    // One bad path keeps the good ones of the same command from being added.
    await expectRefused(ws, ['add', 'models/a.onnx', 'models/b.onnx'], expected);
    await ws.ok('add', 'models/a.onnx');
    await expectGood(ws);
  });

  test('that lies outside the workspace, also through a link', async () => {
    const ws = await makeWorkspace();
    const outside = tempFolder();
    fs.writeFileSync(path.join(outside, 'a.onnx'), 'a');
    fs.symlinkSync(outside, ws.at('elsewhere'));
    for (const given of ['../a.onnx', path.join(outside, 'a.onnx'), 'elsewhere/a.onnx']) {
      await expectRefused(ws, ['add', given], {
        code: 'outside-workspace',
        message: /is outside the workspace/,
        hint: /Copy it into the workspace/,
      });
    }
    expect(fs.readdirSync(outside)).toEqual(['a.onnx']);
  });

  test('that belongs to Git or to mstore, or is the whole workspace', async () => {
    const ws = await makeWorkspace();
    for (const given of ['.git', '.git/config', '.modelstore/config.toml']) {
      await expectRefused(ws, ['add', given], {
        code: 'usage',
        message: /belongs to Git or mstore itself/,
        hint: /Name the files/,
      });
    }
    await expectRefused(ws, ['add', '.'], {
      code: 'usage',
      message: /top of the workspace/,
      hint: /Name the files/,
    });
  });

  test('that lies in a tracked directory', async () => {
    const ws = await makeWorkspace();
    ws.write('bert/sub/config.json', '{}');
    await ws.add('bert');
    ws.write('bert/sub/config.json', '{"new":1}');
    await expectRefused(ws, ['add', 'bert/sub/config.json'], {
      code: 'inside-tracked',
      message: /^bert\/sub\/config\.json lies in bert, which is tracked as a whole$/,
      hint: /mstore add bert"/,
    });
    await ws.ok('add', 'bert');
    await expectGood(ws);
  });

  test('that lies in another path of the same command', async () => {
    const ws = await makeWorkspace();
    ws.write('bert/sub/config.json', '{}');
    for (const paths of [
      ['bert', 'bert/sub/config.json'],
      ['bert/sub', 'bert'],
    ]) {
      await expectRefused(ws, ['add', ...paths], {
        code: 'inside-tracked',
        message: /^bert\/sub.* lies in bert, which is added as a whole$/,
        hint: /mstore add bert"/,
      });
    }
  });

  test('that Git tracks, or a directory with a file that Git tracks', async () => {
    const ws = await makeWorkspace();
    commitFiles(ws.root, { 'bert/config.json': '{}', 'bert/vocab.txt': 'a' });
    ws.write('bert/weights.bin', 'w');
    await expectRefused(ws, ['add', 'bert/config.json'], {
      code: 'tracked-by-git',
      message: /^Git already keeps bert\/config\.json$/,
      hint: /git rm -r --cached -- bert\/config\.json/,
    });
    await expectRefused(ws, ['add', 'bert'], {
      code: 'tracked-by-git',
      message: /^Git already keeps bert\/config\.json and others$/,
      hint: /git rm -r --cached -- bert"/,
    });
    // The hint works.
    git(ws.root, 'rm', '-q', '-r', '--cached', '--', 'bert');
    await ws.ok('add', 'bert');
    await expectGood(ws);
  });

  test('that is a pointer', async () => {
    const ws = await makeWorkspace();
    ws.write('a.onnx', 'a');
    await ws.add('a.onnx');
    await expectRefused(ws, ['add', 'a.onnx.mstore'], {
      code: 'is-a-pointer',
      message: /a\.onnx\.mstore is a pointer/,
      hint: /stands for: a\.onnx$/,
    });
    await expectGood(ws);
  });

  test('that contains a pointer', async () => {
    const ws = await makeWorkspace();
    ws.write('models/sub/a.onnx', 'a');
    await ws.add('models/sub/a.onnx');
    await expectRefused(ws, ['add', 'models'], {
      code: 'contains-pointer',
      message: /^models\/sub\/a\.onnx\.mstore is a pointer/,
      hint: /untrack/,
    });
    await expectGood(ws);
  });

  test('whose pointer Git would ignore', async () => {
    const ws = await makeWorkspace();
    ws.write('.gitignore', '/out/\n');
    ws.write('out/a.onnx', 'a');
    await expectRefused(ws, ['add', 'out/a.onnx'], {
      code: 'pointer-ignored',
      message: /Git ignores the pointer out\/a\.onnx\.mstore/,
      hint: /git check-ignore -v/,
    });
  });

  test('that .mstoreignore leaves out, itself or by a folder above it', async () => {
    const ws = await makeWorkspace();
    ws.write('.mstoreignore', '*.ckpt\n/scratch/\n');
    ws.write('models/a.ckpt', 'a');
    ws.write('scratch/b.onnx', 'b');
    for (const given of ['models/a.ckpt', 'scratch/b.onnx']) {
      await expectRefused(ws, ['add', given], {
        code: 'ignored',
        message: /is left out by a pattern in \.mstoreignore/,
        hint: /Change the pattern/,
      });
    }
    // The hint works.
    ws.write('models/.mstoreignore', '!/a.ckpt\n');
    await ws.ok('add', 'models/a.ckpt');
    await expectGood(ws);
  });

  test('whose pointer would fall together with another one where case does not count', async () => {
    const ws = await makeWorkspace();
    ws.write('models/Bert', '1');
    ws.write('models/bert', '2');
    ws.write('models/bart', '3');
    await expectRefused(ws, ['add', 'models/bert', 'models/Bert'], {
      code: 'name-collision',
      message: /models\/Bert and the tracked bert beside it differ only by case/,
      hint: /Rename it/,
    });
    await ws.add('models/Bert');
    await expectRefused(ws, ['add', 'models/bert'], {
      code: 'name-collision',
      message: /models\/bert and the tracked Bert/,
      hint: /untrack/,
    });
    await ws.ok('add', 'models/Bert', 'models/bart');
  });
});

describe('commands refuse a path that is not tracked', () => {
  test.each([
    ['status', 'not-tracked', /is not tracked/, /mstore ls/],
    ['untrack', 'not-tracked', /is not tracked/, /mstore ls/],
    ['checkout', 'unknown-ref', /neither a tracked path nor a Git branch/, /mean models\/a\.onnx/],
    ['push', 'unknown-ref', /neither a tracked path nor a Git branch/, /mean models\/a\.onnx/],
    ['pull', 'unknown-ref', /neither a tracked path nor a Git branch/, /mean models\/a\.onnx/],
    ['ls', 'unknown-ref', /neither a tracked path nor a Git branch/, /mean models\/a\.onnx/],
  ] as const)('%s', async (command, code, message, hint) => {
    const ws = await makeWorkspace();
    ws.write('models/a.onnx', 'a');
    ws.write('models/b.onnx', 'b');
    await ws.add('models/a.onnx');
    await expectRefused(ws, [command, 'models/b.onnx'], { code, message, hint });
  });
});
