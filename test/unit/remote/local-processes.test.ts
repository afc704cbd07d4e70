import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { tempName } from '../../../src/base/files.ts';
import { localRemote } from '../../../src/remote/local.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { listKeys, readObject } from '../../support/remote-bytes.ts';
import { outputOf, startRemoteProcess } from '../../support/remote-process.ts';
import { tempFolder } from '../../support/temp.ts';

const mib = 1024 * 1024;
const text = (value: string) => bytesSource(Buffer.from(value));

describe('a directory remote and other processes', () => {
  it('clears temporary files of ended processes at its first write, once', async () => {
    const root = tempFolder();
    const temps = path.join(root, 'tmp');
    fs.mkdirSync(temps);
    const dead = tempName().replace(/-\d+-/, '-999999999-');
    const alive = tempName();
    const foreign = 'notes.txt';
    for (const name of [dead, alive, foreign]) fs.writeFileSync(path.join(temps, name), 'part');
    const remote = localRemote(root);
    expect(await listKeys(remote)).toEqual([]);
    expect(fs.readdirSync(temps)).toHaveLength(3);
    await remote.create('a', text('x'));
    expect(fs.readdirSync(temps).sort()).toEqual([alive, foreign].sort());
    fs.writeFileSync(path.join(temps, dead), 'part');
    await remote.create('b', text('x'));
    expect(fs.readdirSync(temps)).toContain(dead);
  });

  it('shows nothing of a create whose process was killed, and clears it up', async () => {
    const root = tempFolder();
    const child = startRemoteProcess(
      `
      import { localRemote } from './remote/local.js';
      async function* open() {
        for (;;) {
          yield Buffer.alloc(2 * 1024 * 1024, 1);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }
      await localRemote(process.argv[2]).create('packs/ab/x', { size: 2 ** 40, open });
      `,
      [root],
    );
    const ended = outputOf(child);
    const temps = path.join(root, 'tmp');
    const written = () =>
      fs.existsSync(temps) &&
      fs.readdirSync(temps).some((name) => fs.statSync(path.join(temps, name)).size > mib);
    while (!written() && child.exitCode === null) await sleep(5);
    child.kill('SIGKILL');
    await expect(ended).rejects.toThrow();
    expect(fs.readdirSync(temps)).toHaveLength(1);
    const remote = localRemote(root);
    expect(await listKeys(remote)).toEqual([]);
    expect(await remote.stat('packs/ab/x')).toBeUndefined();
    expect(await remote.create('packs/ab/x', text('whole'))).toBe('created');
    expect(fs.readdirSync(temps)).toEqual([]);
    expect(String(await readObject(remote, 'packs/ab/x'))).toBe('whole');
  });

  it('has one winner for each name among three processes', async () => {
    const root = tempFolder();
    const names = 60;
    const script = `
      import { localRemote } from './remote/local.js';
      import { bytesSource } from './remote/remote.js';
      const [, , root, who, names] = process.argv;
      const remote = localRemote(root);
      const won = [];
      for (let n = 0; n < Number(names); n += 4) {
        await Promise.all([n, n + 1, n + 2, n + 3].map(async (name) => {
          const source = bytesSource(Buffer.from(who.repeat(5000)));
          if (await remote.create('refs/' + name % 7 + '/' + name, source) === 'created') won.push(name);
        }));
      }
      console.log(JSON.stringify(won));
    `;
    const outputs = await Promise.all(
      ['a', 'b', 'c'].map((who) =>
        outputOf(startRemoteProcess(script, [root, who, String(names)])),
      ),
    );
    const won = outputs.map((output) => JSON.parse(output) as number[]);
    expect(won.flat().sort((a, b) => a - b)).toEqual([...Array(names).keys()]);
    const remote = localRemote(root);
    for (const [index, who] of ['a', 'b', 'c'].entries()) {
      for (const name of won[index] ?? []) {
        const bytes = await readObject(remote, `refs/${name % 7}/${name}`);
        expect(bytes.toString()).toBe(who.repeat(5000));
      }
    }
    expect(await listKeys(remote)).toHaveLength(names);
    expect(fs.readdirSync(path.join(root, 'tmp'))).toEqual([]);
  });
});
