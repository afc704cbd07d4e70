import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodingName } from '../../src/pack/format.ts';
import { readPackFooter } from '../../src/pack/reader.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { vocabularyBytes, weightBytes } from '../support/encoded-chunks.ts';
import {
  cloneProject,
  emptyRemote,
  makePlainProject,
  makeProject,
  type Project,
  projectAt,
  type SurroundingsChange,
  testSurroundings,
  withRemotes,
} from '../support/flow-project.ts';
import { checkRemote, damage, flipAt } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { bytesBelow, filesBelow } from '../support/flow-state.ts';
import { listKeys, readObject } from '../support/remote-bytes.ts';

const mib = 1024 * 1024;

/** The same surroundings with compression on. */
function compressing(change: SurroundingsChange = {}): SurroundingsChange {
  return { ...change, env: { ...testSurroundings().env, MSTORE_STORE_COMPRESSION: 'auto' } };
}

/** A file for each encoding, and one that is not worth any. */
const files: Readonly<Record<string, Buffer>> = {
  'm/halves.bin': weightBytes(1, 2 * mib + 1, 2),
  'm/words.bin': weightBytes(2, 2 * mib + 3, 4),
  'm/tokenizer.json': vocabularyBytes(500_000),
  'm/noise.bin': noise(mib, 'n'),
  'm/small.txt': Buffer.from('a few words\n'),
};

function writeFiles(project: Project): void {
  for (const [name, bytes] of Object.entries(files)) project.write(name, bytes);
}

function expectFiles(project: Project): void {
  for (const [name, bytes] of Object.entries(files)) {
    expect(project.read(name).equals(bytes), name).toBe(true);
  }
}

const storeOf = (project: Project) => project.at('.modelstore/store');

/** How many chunks of the store are in which encoding. */
function encodingsOf(project: Project): Record<string, number> {
  const found: Record<string, number> = {};
  const packs = path.join(storeOf(project), 'packs');
  for (const name of filesBelow(packs).map((file) => path.join(packs, file))) {
    const footer = readPackFooter(name);
    for (let row = 0; row < footer.count; row++) {
      const encoding = encodingName(footer.row(row).encoding) ?? 'unknown';
      found[encoding] = (found[encoding] ?? 0) + 1;
    }
  }
  return found;
}

/** Two workspaces without Git that share a remote: one adds with compression, one reads. */
async function pair(): Promise<{ project: Project; other: Project; remote: RemotePruner }> {
  const remote = await emptyRemote();
  const change = withRemotes({ origin: remote });
  const project = await makeProject(compressing(change));
  writeFiles(project);
  await project.add('m');
  await project.push();
  project.commit();
  return { project, other: cloneProject(project, change), remote };
}

describe('compression', () => {
  it('is off by default', async () => {
    const project = await makePlainProject();
    writeFiles(project);
    const { bytesNew, bytesStored } = await project.add('m');
    expect(bytesStored).toBe(bytesNew);
    expect(Object.keys(encodingsOf(project))).toEqual(['raw']);
  });

  it('changes no pointer and no recipe, only packs', async () => {
    const plain = await makePlainProject();
    const packed = await makePlainProject(compressing());
    for (const project of [plain, packed]) writeFiles(project);
    const one = await plain.add('m');
    const two = await packed.add('m');
    expect(two).toMatchObject({ ...one, bytesStored: two.bytesStored });
    expect(two.bytesStored).toBeLessThan(one.bytesStored * 0.85);
    expect(packed.read('m.mstore')).toEqual(plain.read('m.mstore'));
    const recipes = (project: Project) => {
      const folder = path.join(storeOf(project), 'recipes');
      return filesBelow(folder).map((name) => [name, fs.readFileSync(path.join(folder, name))]);
    };
    expect(recipes(packed)).toEqual(recipes(plain));
    expect(encodingsOf(packed)).toEqual({
      raw: expect.any(Number) as number,
      deflate: expect.any(Number) as number,
      planes2: expect.any(Number) as number,
      planes4: expect.any(Number) as number,
    });
    const sum = bytesBelow(path.join(storeOf(packed), 'packs'));
    expect(sum - two.bytesStored).toBeLessThan(10_000);
  });

  it('gives back every byte', async () => {
    const project = await makePlainProject(compressing());
    writeFiles(project);
    await project.add('m');
    fs.rmSync(project.at('m'), { recursive: true });
    await project.checkout();
    expectFiles(project);
    expect((await project.status()).paths.map(({ state }) => state)).toEqual(['unchanged']);
  });

  it('lives beside chunks that are not compressed, in either order', async () => {
    const project = await makePlainProject();
    const packed = projectAt(project.root, compressing());
    project.write('a', files['m/halves.bin'] as Buffer);
    await project.add('a');
    const before = encodingsOf(project);
    // What is there already stays as it is.
    packed.write('b', files['m/halves.bin'] as Buffer);
    expect(await packed.add('b')).toMatchObject({ chunksNew: 0, bytesStored: 0 });
    const edited = Buffer.concat([files['m/halves.bin'] as Buffer, weightBytes(9, mib, 2)]);
    packed.write('b', edited);
    await packed.add('b');
    expect(encodingsOf(project)).toMatchObject(before);
    expect(encodingsOf(project)['planes2']).toBeGreaterThan(1);
    project.write('c', Buffer.concat([edited, noise(mib, 'end')]));
    await project.add('c');
    for (const name of ['a', 'b', 'c']) {
      const bytes = project.read(name);
      fs.rmSync(project.at(name));
      await project.checkout([name]);
      expect(project.read(name).equals(bytes), name).toBe(true);
    }
  });
});

describe('compressed chunks on their way', () => {
  it('go to a remote and back as they are, in whole packs', async () => {
    const { project, other, remote } = await pair();
    expect(await checkRemote(remote)).toBe(1);
    await other.pull();
    expectFiles(other);
    expect(encodingsOf(other)).toEqual(encodingsOf(project));
  });

  it('are sent as they are where a pack is sent in part', async () => {
    const remote = await emptyRemote();
    const project = await makePlainProject(compressing(withRemotes({ origin: remote })));
    project.write('a', files['m/halves.bin'] as Buffer);
    project.write('b', files['m/words.bin'] as Buffer);
    project.write('c', files['m/noise.bin'] as Buffer);
    await project.add('a', 'b', 'c');
    const { bytesSent } = await project.push(['b']);
    expect(bytesSent).toBeLessThan(0.9 * (files['m/words.bin'] as Buffer).length);
    expect(await checkRemote(remote)).toBe(1);
    await project.push();
    expect(await checkRemote(remote)).toBe(2);
    fs.rmSync(path.join(storeOf(project), 'packs'), { recursive: true });
    fs.rmSync(path.join(storeOf(project), 'index'), { recursive: true });
    for (const name of ['a', 'b', 'c']) fs.rmSync(project.at(name));
    await project.pull();
    expect(project.read('a').equals(files['m/halves.bin'] as Buffer)).toBe(true);
    expect(project.read('b').equals(files['m/words.bin'] as Buffer)).toBe(true);
    expect(project.read('c').equals(files['m/noise.bin'] as Buffer)).toBe(true);
  });

  it('are fetched as they are where little of a pack is wanted', async () => {
    const remote = await emptyRemote();
    const change = withRemotes({ origin: remote });
    const project = await makeProject(compressing(change));
    for (let n = 0; n < 12; n++) project.write(`f${n}`, weightBytes(n + 1, 300_000, 2));
    await project.add(...Array.from({ length: 12 }, (_, n) => `f${n}`));
    await project.push();
    project.commit();
    // The reader's own setting does not matter: what comes encoded stays so.
    const other = cloneProject(project, change);
    await other.fetch(['f3']);
    expect(Object.keys(encodingsOf(other))).toEqual(['planes2']);
    expect(bytesBelow(path.join(storeOf(other), 'packs'))).toBeLessThan(250_000);
    await other.checkout(['f3']);
    expect(other.read('f3').equals(weightBytes(4, 300_000, 2))).toBe(true);
  });
});

describe('damage in a compressed chunk', () => {
  /** Offsets of a byte in each encoded chunk of a pack: its first, one in the middle, its last. */
  function places(file: string): number[] {
    const footer = readPackFooter(file);
    const rows = Array.from({ length: footer.count }, (_, number) => footer.row(number));
    return rows
      .filter(({ encoding }) => encoding !== 0)
      .flatMap(({ offset, storedLength: length }) => [
        offset,
        offset + (length >> 1),
        offset + length - 1,
      ]);
  }

  it('is found when it is read', async () => {
    const project = await makePlainProject(compressing());
    project.write('w', weightBytes(1, 150_000, 2));
    project.write('t', vocabularyBytes(100_000));
    await project.add('w', 't');
    const packs = path.join(storeOf(project), 'packs');
    const file = path.join(packs, filesBelow(packs)[0] as string);
    const whole = fs.readFileSync(file);
    expect(places(file).length).toBeGreaterThan(5);
    for (const at of places(file)) {
      fs.writeFileSync(file, flipAt(at)(whole));
      for (const name of ['w', 't']) fs.rmSync(project.at(name), { force: true });
      await expect(project.checkout()).rejects.toThrow(
        expect.objectContaining({ code: 'corrupt-chunk' }) as Error,
      );
      await expect(project.push()).rejects.toThrow();
    }
    fs.writeFileSync(file, whole);
    await project.checkout();
    expect(project.read('w').equals(weightBytes(1, 150_000, 2))).toBe(true);
  });

  it('is found on arrival', async () => {
    const { other, remote } = await pair();
    const [key = ''] = (await listKeys(remote)).filter((name) => name.startsWith('packs/'));
    const whole = await readObject(remote, key);
    await damage(remote, key, flipAt(100));
    await expect(other.fetch()).rejects.toThrow(
      expect.objectContaining({ code: 'corrupt-remote' }) as Error,
    );
    await damage(remote, key, () => whole);
    await other.pull();
    expectFiles(other);
  });
});
