import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const folder = path.resolve(import.meta.dirname, '../../node_modules/.cache');
const lock = path.join(folder, 'mstore-install.lock');

/** Runs one installation at a time, of all processes of a test run: installers do not like company. */
export async function installing<T>(install: () => T | Promise<T>): Promise<T> {
  fs.mkdirSync(folder, { recursive: true });
  while (!taken()) await delay(200);
  try {
    return await install();
  } finally {
    fs.rmSync(lock, { force: true });
  }
}

function taken(): boolean {
  try {
    fs.writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const holder = Number(fs.existsSync(lock) ? fs.readFileSync(lock, 'utf8') : '');
  // What a run that was ended left behind is nobody's.
  if (holder > 0 && !isAlive(holder)) fs.rmSync(lock, { force: true });
  return false;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
