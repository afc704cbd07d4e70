import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Script } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { tempFolder } from '../support/temp.ts';

const root = path.resolve(import.meta.dirname, '../..');

interface Compiled {
  readonly compiledScript: (module: URL) => Script;
  readonly compiledFile: (source: Uint8Array, data: Uint8Array) => Buffer;
}

/** A copy of the program whose parts a test may change. */
function programCopy() {
  const folder = tempFolder();
  for (const name of ['bin', 'dist/cli', 'package.json'])
    fs.cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
  const source = path.join(folder, 'dist/cli/run.js');
  const file = path.join(folder, 'dist/cli/compiled.cjs');
  const compiled = createRequire(import.meta.url)(file) as Compiled;
  return {
    compiled,
    source,
    kept: `${source}.compiled`,
    run: (...args: string[]) =>
      spawnSync(process.execPath, [path.join(folder, 'bin/mstore.js'), ...args], {
        encoding: 'utf8',
      }),
    /** Whether V8 refuses what was kept; undefined where it is not given any. */
    isRejected(): boolean | undefined {
      return compiled.compiledScript(pathToFileURL(source)).cachedDataRejected;
    },
  };
}

describe('what V8 kept of compiling the command line', () => {
  it('is taken by the Node that built it', () => {
    const { isRejected, run } = programCopy();
    expect(isRejected()).toBe(false);
    const { status, stderr } = run('init', '-C', tempFolder(), '--no-git');
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringMatching(/^Made a workspace in .*\n$/),
    });
  });

  const damages: Array<readonly [string, (bytes: Buffer) => Buffer | undefined]> = [
    ['is missing', () => undefined],
    ['is empty', () => Buffer.alloc(0)],
    ['is cut short', (bytes) => bytes.subarray(0, bytes.length >> 1)],
    ['has bytes behind it', (bytes) => Buffer.concat([bytes, Buffer.alloc(1)])],
    ...[0, 31, 32, 40, 72, 5000, 0.5, 0.99].map((at): (typeof damages)[number] => [
      `has a bit turned at ${at}`,
      (bytes) => {
        const turned = Buffer.from(bytes);
        const offset = at < 1 && at > 0 ? Math.floor(bytes.length * at) : at;
        turned.writeUInt8(turned.readUInt8(offset) ^ 4, offset);
        return turned;
      },
    ]),
  ];

  it.each(damages)('is not used where it %s: the source is', (_, damage) => {
    const { kept, isRejected, run } = programCopy();
    const bytes = damage(fs.readFileSync(kept));
    if (bytes === undefined) fs.rmSync(kept);
    else fs.writeFileSync(kept, bytes);
    expect(isRejected()).toBeUndefined();
    const { status, stdout, stderr } = run('models', '--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('mstore models');
  });

  it('is refused by another V8, which compiles the source', () => {
    const { source, kept, compiled, isRejected, run } = programCopy();
    const data = fs.readFileSync(kept).subarray(32);
    // The second word is a hash of the version of V8.
    data.writeUInt32LE((data.readUInt32LE(4) ^ 1) >>> 0, 4);
    fs.writeFileSync(kept, compiled.compiledFile(fs.readFileSync(source), data));
    expect(isRejected()).toBe(true);
    const { status, stderr } = run('models', '--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('is not used for another source of the same length', () => {
    const { source, run } = programCopy();
    const text = fs.readFileSync(source, 'latin1');
    fs.writeFileSync(source, text.replace('is not tracked', 'is NOT tracked'), 'latin1');
    const workspace = tempFolder();
    expect(run('init', '-C', workspace, '--no-git').status).toBe(0);
    expect(run('status', '-C', workspace, 'x').stderr).toContain('is NOT tracked');
  });
});
