import { expect, test } from 'vitest';
import { makeWorkspace } from '../support/cli.ts';
import { weightBytes } from '../support/encoded-chunks.ts';

test('add tells what is new and in how many bytes it is stored', async () => {
  const workspace = await makeWorkspace();
  workspace.write('plain.bin', weightBytes(1, 100 * 1024, 2));
  const off = await workspace.run('add', 'plain.bin');
  expect(off.stderr).toContain('Stored 100 KiB (1 new chunk)');
  await workspace.ok('config', 'set', 'store.compression', 'auto');
  workspace.write('packed.bin', weightBytes(2, 100 * 1024, 2));
  const on = await workspace.run('add', 'packed.bin');
  expect(on.stderr).toMatch(/Stored 100 KiB in 6\d(?:\.\d)? KiB \(1 new chunk\)/);
  workspace.write('more.bin', weightBytes(3, 100 * 1024, 2));
  const { stdout } = await workspace.run('add', 'more.bin', '--json');
  const { bytesNew, bytesStored } = JSON.parse(stdout) as Record<string, number>;
  expect(bytesNew).toBe(100 * 1024);
  expect(bytesStored).toBeLessThan(0.7 * 100 * 1024);
});
