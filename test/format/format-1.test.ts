import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Digest, sha256 } from '../../src/base/digest.ts';
import { formatTree, isFileEntry, parseTree, type TreeEntry } from '../../src/base/tree.ts';
import { parseFooter } from '../../src/pack/format.ts';
import { readPackFooter } from '../../src/pack/reader.ts';
import { PackWriter } from '../../src/pack/writer.ts';
import { BlobReader } from '../../src/store/blob-reader.ts';
import { formatHeader, parseHeader } from '../../src/store/header.ts';
import { blobOfRecipeKey, indexKey, packKey, packOfKey, recipeKey } from '../../src/store/keys.ts';
import { Store } from '../../src/store/local-store.ts';
import { formatRecipe, parseRecipe } from '../../src/store/recipe.ts';
import { formatPointer, parsePointer } from '../../src/worktree/pointer.ts';
import { makePlainProject, type Project, projectAt } from '../support/flow-project.ts';
import {
  filesBelow,
  format1Files,
  format1Folder,
  format1Paths,
  format1Surroundings,
  withFrozenCuts,
  writeFormat1Files,
  writeFormat1Pointers,
} from '../support/format-1.ts';
import { tempFolder } from '../support/temp.ts';

const versions = [1, 2] as const;
const remote = path.join(format1Folder, 'remote');

function below(folder: string, suffix = ''): Array<[string, Buffer]> {
  const all = [...filesBelow(path.join(format1Folder, folder))];
  return all.filter(([name]) => name.endsWith(suffix));
}

/** A copy of the frozen remote as a local store: both hold the same objects under the same names. */
function storeCopy(): Store {
  const folder = path.join(tempFolder(), 'store');
  fs.cpSync(remote, folder, { recursive: true });
  return new Store(folder);
}

const pointers = versions.flatMap((version) =>
  below(`v${version}`).map(([name, bytes]) => ({ version, name, bytes })),
);

describe('the fixture', () => {
  it('is the one that was frozen', () => {
    const lines = below('.').map(([name, bytes]) => `${sha256(bytes)}  ${name}\n`);
    expect(sha256(lines.join(''))).toBe(
      '912a5ab990631fcb0b0aeb147091b03680f94142e90780189821b0f8c4397abe',
    );
  });

  it('holds pointers of all paths in both versions', () => {
    const names = format1Paths.map((name) => `${name}.pointer`).sort();
    for (const version of versions) {
      expect(below(`v${version}`).map(([name]) => name)).toEqual(names);
    }
  });
});

describe('every object parses and formats to the same bytes', () => {
  it('header', () => {
    const bytes = fs.readFileSync(path.join(remote, 'mstore.json'));
    const { clock, random } = format1Surroundings(1);
    expect(parseHeader(bytes, 'there')).toEqual({ id: '0f1e'.repeat(8) });
    expect(withFrozenCuts(formatHeader(clock, random)).equals(bytes)).toBe(true);
  });

  it.each(below('remote/packs'))('pack %s', (name, bytes) => {
    const pack = packOfKey(`packs/${name}`) as Digest;
    const footer = readPackFooter(path.join(remote, packKey(pack)));
    expect(footer.id).toBe(pack);
    const file = path.join(tempFolder(), 'again.pack');
    const writer = new PackWriter(file);
    for (let row = 0; row < footer.count; row++) {
      const { offset, storedLength } = footer.row(row);
      const raw = bytes.subarray(offset, offset + storedLength);
      expect(sha256(raw)).toBe(footer.chunk(row));
      writer.append(Buffer.from(footer.chunk(row), 'hex'), raw);
    }
    writer.finish();
    expect(fs.readFileSync(file).equals(bytes)).toBe(true);
    expect(fs.readFileSync(path.join(remote, indexKey(pack))).equals(footer.bytes)).toBe(true);
    expect(parseFooter(footer.bytes, pack).payloadBytes).toBe(footer.payloadBytes);
  });

  it.each(below('remote/recipes'))('recipe %s', (name, bytes) => {
    const blob = blobOfRecipeKey(`recipes/${name}`) as Digest;
    expect(recipeKey(blob)).toBe(`recipes/${name}`);
    expect(formatRecipe(parseRecipe(bytes, blob)).equals(bytes)).toBe(true);
  });

  it.each(pointers)('pointer v$version/$name', ({ name, bytes }) => {
    expect(formatPointer(parsePointer(bytes, name))).toBe(bytes.toString());
  });

  it('tree', () => {
    const store = storeCopy();
    const reader = new BlobReader(store);
    const trees = pointers.map(({ bytes, name }) => parsePointer(bytes, name));
    for (const pointer of trees) {
      if (pointer.kind !== 'tree') continue;
      const bytes = reader.readWhole(pointer.sha256, 1e9);
      expect(formatTree(parseTree(bytes)).equals(bytes)).toBe(true);
      expect(sha256(bytes)).toBe(pointer.sha256);
    }
    reader.close();
  });
});

describe.each(versions)('version %i', (version) => {
  it('is read from the store, every blob by its digest', () => {
    const reader = new BlobReader(storeCopy());
    const files = format1Files(version);
    const check = (name: string, blob: Digest, size: number): void => {
      const bytes = reader.readWhole(blob, 1e9);
      expect([name, sha256(bytes), bytes.length]).toEqual([name, blob, size]);
      const expected = files.get(name);
      expect(expected !== undefined && 'bytes' in expected && expected.bytes.equals(bytes)).toBe(
        true,
      );
      files.delete(name);
    };
    for (const [name, bytes] of below(`v${version}`)) {
      const tracked = name.slice(0, -'.pointer'.length);
      const pointer = parsePointer(bytes, name);
      if (pointer.kind === 'file') check(tracked, pointer.sha256, pointer.size);
      else {
        const entries: readonly TreeEntry[] = parseTree(reader.readWhole(pointer.sha256, 1e9));
        expect(pointer.files ?? entries).toEqual(entries);
        for (const entry of entries.filter(isFileEntry)) {
          check(`${tracked}/${entry.path}`, entry.sha256, entry.size);
        }
      }
    }
    reader.close();
    // Links and directories are entries of the trees; all that has bytes was read.
    expect([...files.values()].filter((entry) => 'bytes' in entry)).toEqual([]);
  });

  it('is fetched from the remote and checked out whole', async () => {
    const project = await makePlainProject();
    writeFormat1Pointers(project.root, version);
    await project.fetch([], remote);
    await project.checkout();
    expectFiles(project, version);
    const { paths } = await project.status();
    expect(paths.map(({ path: name, state }) => [name, state])).toEqual(
      [...format1Paths].sort().map((name) => [name, 'unchanged']),
    );
  });
});

function expectFiles(project: Project, version: 1 | 2): void {
  for (const [name, entry] of format1Files(version)) {
    const stat = fs.lstatSync(project.at(name));
    if ('bytes' in entry) {
      expect(project.read(name).equals(entry.bytes), name).toBe(true);
      expect((stat.mode & 0o100) !== 0, name).toBe(entry.executable ?? false);
    } else if ('link' in entry) expect(fs.readlinkSync(project.at(name))).toBe(entry.link);
    else expect(stat.isDirectory(), name).toBe(true);
  }
  const many = fs.readdirSync(project.at('many'));
  expect(many).toHaveLength(1_001);
}

describe('the same files added again', () => {
  it('give the same pointers, packs, index objects, recipes and records', async () => {
    const first = format1Surroundings(1);
    const { root } = await makePlainProject(first);
    const there = path.join(root, 'remote');
    fs.mkdirSync(there);
    fs.writeFileSync(path.join(there, 'mstore.json'), formatHeader(first.clock, first.random));
    // Only its unknown key is taken from the old pointer; all else is found in the files.
    fs.mkdirSync(path.join(root, 'models'));
    fs.copyFileSync(
      path.join(format1Folder, 'v1/models/run.sh.pointer'),
      path.join(root, 'models/run.sh.mstore'),
    );
    for (const version of versions) {
      const project = projectAt(root, format1Surroundings(version));
      writeFormat1Files(root, version);
      await project.add(...format1Paths);
      for (const [name, bytes] of below(`v${version}`)) {
        const made = project.read(name.replace(/\.pointer$/, '.mstore'));
        expect(made.toString(), name).toBe(bytes.toString());
      }
      await project.push([], './remote');
    }
    const made = filesBelow(there);
    const frozen = filesBelow(remote);
    expect([...made.keys()]).toEqual([...frozen.keys()]);
    const same = (bytes: Buffer | undefined, name: string) => {
      const written = bytes && (name === 'mstore.json' ? withFrozenCuts(bytes) : bytes);
      expect(written?.equals(frozen.get(name) ?? Buffer.alloc(0)), name).toBe(true);
    };
    for (const name of frozen.keys()) same(made.get(name), name);
    const store = filesBelow(path.join(root, '.modelstore/store'));
    for (const name of frozen.keys()) {
      if (!name.startsWith('roots/')) same(store.get(name), name);
    }
  });
});
