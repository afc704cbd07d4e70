import { spawnSync } from 'node:child_process';
import * as path from 'node:path';
import { expect, it } from 'vitest';

it('the command that fuzzes loads all targets, outside of the runner of tests, and runs one', () => {
  const program = path.join(import.meta.dirname, '../tools/fuzz.js');
  const args = [program, '--seconds', '1', 'trust-rules'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/^trust-rules: [1-9]\d* inputs/m);
});
