import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { makePlainProject, type Project } from '../support/flow-project.ts';
import { filesBelow, format1Folder, writeFormat1Pointers } from '../support/format-1.ts';
import { newerPack } from '../support/newer.ts';

const newer = expect.objectContaining({ code: 'newer-format' }) as Error;

/** A project with the pointers of version 1 and a copy of the frozen remote to play with. */
async function project(): Promise<Project> {
  const made = await makePlainProject();
  writeFormat1Pointers(made.root, 1);
  fs.cpSync(path.join(format1Folder, 'remote'), made.at('remote'), { recursive: true });
  return made;
}

/** Runs what must be refused, and checks that no file was changed, made or removed. */
async function refuse(where: string, work: () => Promise<unknown>): Promise<void> {
  const before = filesBelow(where);
  await expect(work()).rejects.toThrow(newer);
  const after = filesBelow(where);
  expect([...after.keys()]).toEqual([...before.keys()]);
  for (const [name, bytes] of before) expect(after.get(name)?.equals(bytes), name).toBe(true);
}

function edit(file: string, change: (bytes: Buffer) => Buffer): void {
  fs.writeFileSync(file, change(fs.readFileSync(file)));
}

function higherNumber(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString().replace('"mstore": 1', '"mstore": 2'));
}

describe('a higher format number is refused and its bearer left untouched', () => {
  it('in the header of a remote', async () => {
    const made = await project();
    edit(made.at('remote/mstore.json'), higherNumber);
    await refuse(made.at('remote'), () => made.fetch([], './remote'));
    await refuse(made.at('remote'), () => made.push([], './remote'));
  });

  it('in the header of the local store', async () => {
    const made = await project();
    await made.fetch([], './remote');
    edit(made.at('.modelstore/store/mstore.json'), higherNumber);
    await refuse(made.root, () => made.checkout());
    await refuse(made.root, () => made.add('models'));
  });

  it('in a pack of the remote', async () => {
    const made = await project();
    newerPack(made.at('remote'));
    await refuse(made.at('remote'), () => made.fetch([], './remote'));
  });

  it('in a pack of the local store, with and without its index object', async () => {
    const made = await project();
    await made.fetch([], './remote');
    newerPack(made.at('.modelstore/store'));
    await refuse(made.at('.modelstore/store'), () => made.checkout());
    fs.rmSync(made.at('.modelstore/store/index'), { recursive: true });
    await refuse(made.at('.modelstore/store'), () => made.checkout());
  });

  it('in a recipe', async () => {
    const made = await project();
    for (const [name] of filesBelow(made.at('remote/recipes'))) {
      edit(made.at(`remote/recipes/${name}`), (bytes) => {
        bytes.writeUInt32LE(2, 8);
        return bytes;
      });
    }
    await refuse(made.at('remote'), () => made.fetch([], './remote'));
  });

  it('in a pointer', async () => {
    const made = await project();
    await made.fetch([], './remote');
    edit(made.at('models/model.bin.mstore'), higherNumber);
    const pointers = made.at('models');
    await refuse(pointers, () => made.checkout(['./models/model.bin']));
    made.write('models/model.bin', 'other bytes');
    await refuse(pointers, () => made.add('models/model.bin'));
  });

  it('in the configuration of a workspace', async () => {
    const made = await project();
    edit(made.at('.modelstore/config.toml'), (bytes) =>
      Buffer.from(bytes.toString().replace('format = 1', 'format = 2')),
    );
    await refuse(made.root, () => made.status());
  });

  it('in an encrypted remote, which is a later addition', async () => {
    const made = await project();
    edit(made.at('remote/mstore.json'), (bytes) =>
      Buffer.from(bytes.toString().replace('"id"', '"encryption": {},\n  "id"')),
    );
    await refuse(made.at('remote'), () => made.fetch([], './remote'));
  });
});
