import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { installDebian } from '../support/debian.ts';
import { tempFolder } from '../support/temp.ts';

it('systemd has nothing to say about the unit of sync', { timeout: 300_000 }, async () => {
  await installDebian('systemd-analyze', 'systemd');
  const folder = tempFolder();
  const unit = path.join(folder, 'mstore-sync@.service');
  fs.copyFileSync('docs/sample/mstore-sync@.service', unit);
  fs.symlinkSync('mstore-sync@.service', path.join(folder, 'mstore-sync@ocr.service'));
  const verify = () =>
    spawnSync('systemd-analyze', ['verify', '--man=no', './mstore-sync@ocr.service'], {
      cwd: folder,
      encoding: 'utf8',
    });
  const { status, stdout, stderr } = verify();
  // What it says of units of this machine is no matter of ours.
  const ours = (text: string) => text.split('\n').filter((line) => line.includes('mstore-sync'));
  expect({ status, said: ours(stdout + stderr) }).toEqual({ status: 0, said: [] });
  fs.appendFileSync(unit, '\n[Service]\nRestrat=always\n');
  expect(ours(verify().stderr).join()).toContain('Restrat');
});
