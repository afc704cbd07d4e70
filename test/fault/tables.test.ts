import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Store } from '../../src/store/local-store.ts';
import { madeId, makeStore } from '../support/made-stores.ts';
import { tempFolder } from '../support/temp.ts';

const built = path.resolve(import.meta.dirname, '../../dist/store/local-store.js');
const tool = path.resolve(import.meta.dirname, '../tools/index-scale.js');

/** Opens a store again and again, more packs each time, and looks for chunks that have long been there. */
const openOften = `
import { Store } from ${JSON.stringify(pathToFileURL(built).href)};
import { makeStore, writeId } from ${JSON.stringify(pathToFileURL(tool).href)};
const [folder, chunks, ...shapes] = process.argv.slice(1);
const id = Buffer.alloc(32);
process.stdout.write('begins');
for (const rows of shapes) {
  makeStore(folder, Number(chunks), Number(rows));
  const index = new Store(folder).index();
  for (let n = 0; n < Number(chunks); n += 11) {
    writeId(id, 0, n);
    if (!index.has(id)) throw new Error('chunk ' + n + ' is missing');
  }
}
`;

const chunks = 60_000;

function start(folder: string, ...shapes: number[]): ChildProcess {
  const args = [
    '--input-type=module',
    '-e',
    openOften,
    folder,
    String(chunks),
    ...shapes.map(String),
  ];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.resume();
  return child;
}

const ended = (child: ChildProcess) =>
  new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));

/** Checks that a store opened now finds every chunk, with few tables and nothing left over. */
function check(folder: string): void {
  new Store(folder).prepareWriting();
  new Store(folder).index();
  const index = new Store(folder).index();
  for (let n = 0; n < chunks; n += 7) expect(index.has(madeId(n))).toBe(true);
  expect(index.has(madeId(chunks))).toBe(false);
  expect(index.counts.tables).toBeLessThanOrEqual(6);
  expect(fs.readdirSync(path.join(folder, 'tables')).length).toBe(index.counts.tables);
  expect(fs.readdirSync(path.join(folder, 'tmp'))).toEqual([]);
}

describe('chunk tables of one store', () => {
  it('are written and merged by four processes at once', async () => {
    const folder = tempFolder();
    makeStore(folder, chunks, 1_000);
    const shapes = [
      [999, 501, 301],
      [998, 502, 302],
      [997, 503, 303],
      [996, 504, 304],
    ];
    const codes = await Promise.all(shapes.map((of) => ended(start(folder, ...of))));
    expect(codes).toEqual([0, 0, 0, 0]);
    check(folder);
  });

  it('are whole or not there when processes are killed', async () => {
    const folder = tempFolder();
    makeStore(folder, chunks, 400);
    for (let n = 0; n < 6; n++) {
      const child = start(folder, 450 + n, 350 - n);
      const end = ended(child);
      // On a busy machine it takes long to start, and nothing would be made before it is killed.
      await once(child.stdout as Readable, 'data');
      await delay(30 + 60 * n);
      child.kill('SIGKILL');
      await end;
    }
    check(folder);
  });
});
