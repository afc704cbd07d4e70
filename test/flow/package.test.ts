import * as fs from 'node:fs';
import * as path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { deploy } from '../../src/flow/environments.ts';
import { exportTo } from '../../src/flow/export.ts';
import { fetchRegistry } from '../../src/flow/fetch-registry.ts';
import { type PackageOptions, packageVersion } from '../../src/flow/package.ts';
import { packageFile } from '../../src/flow/package-source.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { register } from '../../src/flow/register.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { readHistory, readVersion } from '../../src/flow/registry-history.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { chooseFetchRemotes } from '../../src/flow/several-remotes.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { unpackage } from '../../src/flow/unpackage.ts';
import { unpackageTo } from '../../src/flow/unpackage-to.ts';
import { verify } from '../../src/flow/verify/verify.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import {
  emptyRemote,
  makePlainProject,
  makeProject,
  type Project,
  testSurroundings,
  withRemotes,
} from '../support/flow-project.ts';
import { noise, scratchFolder } from '../support/flow-scratch.ts';
import { filesBelow, stateOf } from '../support/flow-state.ts';
import { listKeys } from '../support/remote-bytes.ts';

const longName = `${'a'.repeat(120)}-größe-${'z'.repeat(100)}`;

/** Writes a model with all that a tree can hold. */
function writeModel(project: Project, seed = 'one'): void {
  project.write('models/bert/weights.bin', noise(700_000, seed));
  project.write('models/bert/again.bin', noise(700_000, seed));
  project.write('models/bert/config.json', '{}');
  project.write('models/bert/run.sh', 'echo', 0o755);
  project.write('models/bert/empty', '');
  project.write(`models/bert/deep/${'folder/'.repeat(30)}${longName}`, 'far away');
  project.write('models/bert/😀 größe "π" (1).txt', 'named');
  fs.mkdirSync(project.at('models/bert/nothing'), { recursive: true });
  fs.symlinkSync('deep/../config.json', project.at('models/bert/link'));
}

async function withVersion(project: Project, version = 'v1', seed = version): Promise<Project> {
  fs.rmSync(project.at('models'), { recursive: true, force: true });
  writeModel(project, seed);
  await project.add('models/bert');
  await register(await project.open(), {
    model: 'bert',
    version,
    description: 'Größe',
    metrics: { bleu: 0.41 },
    metadata: { nested: { list: [1, 'two'] } },
  });
  return project;
}

async function deployHere(project: Project, version: string, environment: string): Promise<void> {
  await deploy(await project.open(), { model: 'bert', version, environment });
}

async function pack(project: Project, args: readonly string[], options: PackageOptions = {}) {
  const workspace = await project.open();
  const found = await findTargets(workspace, args, project.root);
  const file = path.join(scratchFolder(), 'made.tar.gz');
  return { file, result: await packageVersion(workspace, found, file, options) };
}

async function take(project: Project, file: string) {
  return unpackage(await project.open(), packageFile(file));
}

async function registryOf(project: Project): Promise<string[]> {
  return listKeys((await localRegistry(await project.open())).place, 'refs/');
}

async function pushAll(project: Project, remote = 'memory://depot') {
  const workspace = await project.open();
  const chosen = await chooseRemote(workspace, remote, project.root);
  return pushWithVersions(workspace, [], chosen, { registry: 'all' });
}

/** What tells a change of any file or folder below one: kind, size, times and inode. */
function stamps(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { ino, mode, size, mtimeMs, ctimeMs } = fs.lstatSync(path.join(folder, name));
      return [name, ino, mode, size, mtimeMs, ctimeMs].join(' ');
    });
}

describe('a package', () => {
  it('has the same bytes at any time, for anybody, and on a host that took it', async () => {
    const one = await withVersion(await makePlainProject());
    await deployHere(one, 'v1', 'staging');
    const first = await pack(one, ['bert@v1']);
    const zone = process.env['TZ'];
    const mask = process.umask(0o077);
    process.env['TZ'] = 'Pacific/Kiritimati';
    try {
      for (const name of fs.readdirSync(one.at('models/bert'))) {
        fs.lutimesSync(one.at(`models/bert/${name}`), 1, 1);
      }
      const again = await pack(one, ['bert@staging']);
      const two = await makePlainProject();
      await take(two, first.file);
      const there = await pack(two, ['bert@v1']);
      const bytes = fs.readFileSync(first.file);
      for (const { file, result } of [again, there]) {
        expect(fs.readFileSync(file).equals(bytes)).toBe(true);
        expect(result).toMatchObject({ sha256: sha256(bytes), size: bytes.length });
      }
    } finally {
      process.umask(mask);
      if (zone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = zone;
    }
  });

  it('says nothing of the host, the user or the time', async () => {
    const one = await withVersion(await makePlainProject());
    const { file } = await pack(one, ['bert@v1']);
    const gzip = fs.readFileSync(file);
    expect(gzip.subarray(0, 10).toString('hex')).toBe('1f8b08000000000000ff');
    const header = gunzipSync(gzip).subarray(0, 512);
    const field = (at: number, length: number) =>
      header
        .subarray(at, at + length)
        .toString('latin1')
        .replaceAll('\0', '')
        .trim();
    expect(field(0, 100)).toBe('bert_v1/mstore-package.json');
    expect([field(100, 8), field(108, 8), field(116, 8)]).toEqual(['000644', '000000', '000000']);
    expect(field(136, 12)).toBe('00000000000');
    expect([field(265, 32), field(297, 32)]).toEqual(['', '']);
  });

  it('gives every byte, name, link, directory and executable bit back', async () => {
    const one = await withVersion(await makePlainProject());
    const { file, result } = await pack(one, ['bert@v1']);
    expect(result).toMatchObject({ name: 'bert_v1', files: 7, records: 1 });
    const to = path.join(scratchFolder(), 'new', 'out');
    const written = await unpackageTo(packageFile(file), to, testSurroundings());
    expect(written).toMatchObject({ directory: to, files: 7, bytes: result.bytes });
    expect(written.manifest.version).toMatchObject({ model: 'bert', version: 'v1' });
    expect(stateOf(to)).toEqual(stateOf(one.at('models/bert')));
    expect(fs.readdirSync(path.dirname(to))).toEqual(['out']);
    const repacked = path.join(scratchFolder(), 'again.tar.gz');
    fs.writeFileSync(repacked, gzipSync(gunzipSync(fs.readFileSync(file))));
    const other = path.join(scratchFolder(), 'other');
    await unpackageTo(packageFile(repacked), other, testSurroundings());
    expect(stateOf(other)).toEqual(stateOf(to));
  });

  it('is of one file too, executable or not', async () => {
    const one = await makePlainProject();
    one.write('tools/run', noise(300_000), 0o755);
    await one.add('tools/run');
    await register(await one.open(), { model: 'tool', version: '1' });
    const { file } = await pack(one, ['tool@1']);
    const to = path.join(scratchFolder(), 'out');
    await unpackageTo(packageFile(file), to, testSurroundings());
    expect(stateOf(to)).toEqual(stateOf(one.at('tools')));
    const two = await makePlainProject();
    await take(two, file);
    await two.checkout(['tool@1']);
    expect(stateOf(two.at('tools'))).toEqual(stateOf(one.at('tools')));
  });

  it('may be of what is no registered version, for a directory alone', async () => {
    const one = await makeProject();
    writeModel(one);
    await one.add('models/bert');
    one.commit();
    const pointer = JSON.parse(one.read('models/bert.mstore').toString()) as { sha256: string };
    for (const args of [['models/bert'], ['HEAD', 'models/bert']]) {
      const { file, result } = await pack(one, args);
      expect(result).toMatchObject({ name: `bert_${pointer.sha256.slice(0, 12)}`, records: 0 });
      const to = path.join(scratchFolder(), 'out');
      const { manifest } = await unpackageTo(packageFile(file), to, testSurroundings());
      expect(manifest.version).toBeUndefined();
      expect(stateOf(to)).toEqual(stateOf(one.at('models/bert')));
      const two = await makePlainProject();
      await expect(take(two, file)).rejects.toMatchObject({
        code: 'usage',
        hint: expect.stringMatching(/--to DIR/),
      });
      expect(fs.readdirSync(two.at('.modelstore/tmp'))).toEqual([]);
    }
  });

  it('is of one tracked path, with a name that every system takes', async () => {
    const one = await makePlainProject();
    one.write('a/.größe x', 'x');
    one.write('b/y', 'y');
    await one.add('a/.größe x', 'b');
    await expect(pack(one, [])).rejects.toMatchObject({ code: 'usage' });
    const { result } = await pack(one, ['a/.größe x']);
    expect(result.name).toBe(`_gr__e_x_${sha256('x').slice(0, 12)}`);
  });

  it('takes no place that is taken, unless it is told to, and only that of a file', async () => {
    const one = await withVersion(await makePlainProject());
    const workspace = await one.open();
    const found = await findTargets(workspace, ['bert@v1'], one.root);
    const folder = scratchFolder();
    const file = path.join(folder, 'x.tar.gz');
    fs.writeFileSync(file, 'mine');
    await expect(packageVersion(workspace, found, file)).rejects.toMatchObject({
      code: 'destination-exists',
      hint: expect.stringMatching(/--force/),
    });
    expect(fs.readFileSync(file, 'utf8')).toBe('mine');
    await packageVersion(workspace, found, file, { force: true });
    expect(fs.statSync(file).size).toBeGreaterThan(700_000);
    const inside = await packageVersion(workspace, found, `${folder}${path.sep}`);
    expect(inside.file).toBe(path.join(folder, 'bert_v1.tar.gz'));
    await expect(packageVersion(workspace, found, folder)).rejects.toMatchObject({
      code: 'destination-exists',
      details: { path: inside.file },
    });
    const link = path.join(folder, 'link');
    fs.symlinkSync(file, link);
    await expect(packageVersion(workspace, found, link, { force: true })).rejects.toMatchObject({
      code: 'destination-exists',
    });
    expect(fs.readdirSync(folder).sort()).toEqual(['bert_v1.tar.gz', 'link', 'x.tar.gz']);
    await expect(
      packageVersion(workspace, found, path.join(folder, 'none', 'x')),
    ).rejects.toMatchObject({ code: 'not-found' });
  });

  it('leaves nothing when data is missing or damaged, or the work is interrupted', async () => {
    const one = await withVersion(await makePlainProject());
    const folder = scratchFolder();
    const file = path.join(folder, 'x.tar.gz');
    const abort = new AbortController();
    const progress = { start: () => {}, finish: () => {}, advance: () => abort.abort() };
    const attempt = async (options: PackageOptions = {}) => {
      const workspace = await one.open();
      const found = await findTargets(workspace, ['bert@v1'], one.root);
      return packageVersion(workspace, found, file, options);
    };
    await expect(attempt({ signal: abort.signal, progress })).rejects.toMatchObject({
      code: 'interrupted',
    });
    const packs = one.at('.modelstore/store/packs');
    for (const name of filesBelow(packs)) {
      const bytes = fs.readFileSync(path.join(packs, name));
      bytes[300_000] = (bytes[300_000] ?? 0) ^ 1;
      fs.writeFileSync(path.join(packs, name), bytes);
    }
    await expect(attempt()).rejects.toMatchObject({ code: 'corrupt-chunk' });
    fs.rmSync(packs, { recursive: true });
    await expect(attempt()).rejects.toMatchObject({ code: 'objects-missing' });
    expect(fs.readdirSync(folder)).toEqual([]);
  });
});

describe('a package on a host without a network', () => {
  it('brings the version with its metadata, states and histories, to be used and pushed', async () => {
    const one = await withVersion(await makePlainProject());
    await deployHere(one, 'v1', 'staging');
    await deployHere(one, 'v1', 'production');
    const state = { model: 'bert', version: 'v1', state: 'deprecated' } as const;
    await setVersionState(await one.open(), state, { reason: 'Old', force: true });
    const { file, result } = await pack(one, ['bert@v1']);
    expect(result.records).toBe(4);

    const depot = await emptyRemote('memory://depot');
    const two = await makePlainProject(withRemotes({ depot }, { offline: true }));
    const taken = await take(two, file);
    expect(taken).toMatchObject({ records: 4, files: 7, conflicts: [] });
    expect(taken.bytesNew).toBeGreaterThan(700_000);
    expect(taken.bytesNew).toBeLessThan(1_400_000);
    expect(await registryOf(two)).toEqual(await registryOf(one));
    const here = await localRegistry(await one.open());
    const there = await localRegistry(await two.open());
    expect(await readHistory(there, 'bert')).toEqual(await readHistory(here, 'bert'));
    const details = await readVersion(there, 'bert', 'v1');
    expect(details).toEqual(await readVersion(here, 'bert', 'v1'));
    expect(details.states).toMatchObject([{ state: 'deprecated', reason: 'Old' }]);
    await two.checkout(['bert@production']);
    expect(stateOf(two.at('models/bert'))).toEqual(stateOf(one.at('models/bert')));
    expect(two.read('models/bert.mstore').equals(one.read('models/bert.mstore'))).toBe(true);
    expect((await verify(await two.open(), undefined)).code).toBeNull();

    const pushed = await pushAll(two);
    expect(pushed.result).toMatchObject({ recordsSent: 4, problems: [] });
    expect((await listKeys(depot, 'refs/')).sort()).toEqual((await registryOf(one)).sort());
    const three = await makePlainProject(withRemotes({ depot }));
    const workspace = await three.open();
    const remotes = await chooseFetchRemotes(workspace, ['memory://depot'], three.root);
    await fetchRegistry(workspace, remotes);
    await three.fetch(['bert@v1'], 'memory://depot');
    await three.checkout(['bert@v1']);
    expect(stateOf(three.at('models/bert'))).toEqual(stateOf(one.at('models/bert')));
  });

  it('changes nothing when it is taken again, and a later one brings what is new', async () => {
    const one = await withVersion(await makePlainProject());
    await deployHere(one, 'v1', 'staging');
    const { file } = await pack(one, ['bert@v1']);
    await deployHere(one, 'v1', 'production');
    const later = await pack(one, ['bert@v1']);
    const two = await makePlainProject();
    await take(two, file);
    const before = filesBelow(two.root);
    expect(await take(two, file)).toMatchObject({ records: 0, bytesNew: 0, conflicts: [] });
    expect(filesBelow(two.root)).toEqual(before);
    expect(await take(two, later.file)).toMatchObject({ records: 1, bytesNew: 0 });
    expect(await take(two, file)).toMatchObject({ records: 0, bytesNew: 0 });
    expect(await registryOf(two)).toEqual(await registryOf(one));
  });

  it('brings the whole history of its environments, with the versions that it names', async () => {
    const depot = await emptyRemote('memory://depot');
    const one = await withVersion(await makePlainProject(), 'v1');
    await deployHere(one, 'v1', 'production');
    await withVersion(one, 'v2');
    await deployHere(one, 'v2', 'production');
    await withVersion(one, 'v3');
    await deployHere(one, 'v3', 'canary');
    const first = await pack(one, ['bert@v1']);
    const second = await pack(one, ['bert@v2']);
    expect(second.result.records).toBe(4);

    const two = await makePlainProject(withRemotes({ depot }));
    await take(two, second.file);
    const registry = await localRegistry(await two.open());
    const { entries } = await readHistory(registry, 'bert');
    expect(entries.map(({ version }) => version)).toEqual(['v2', 'v1']);
    expect((await registry.names('bert'))[0]?.versions).toEqual(new Set(['v1', 'v2']));
    expect((await verify(await two.open(), undefined)).code).toBeNull();
    await two.checkout(['bert@v2']);
    await expect(two.checkout(['bert@v1'])).rejects.toMatchObject({ code: 'objects-missing' });

    // Of v1 nothing is here but the record: the remote must not name it.
    const pushed = await pushAll(two);
    expect(pushed.result).toMatchObject({ recordsSent: 1, problems: [] });
    expect(pushed.lacking).toMatchObject({
      code: 'objects-missing',
      details: { versions: ['bert@v1'] },
    });
    expect(await listKeys(depot, 'refs/')).toEqual(['refs/models/bert/versions/v2.json']);
    await take(two, first.file);
    const again = await pushAll(two);
    expect(again.result).toMatchObject({ recordsSent: 3, problems: [] });
    expect(again.lacking).toBeUndefined();
    expect(await listKeys(depot, 'refs/')).toEqual(await registryOf(two));
    const remote = await chooseRemote(await two.open(), 'memory://depot', two.root);
    const report = await verify(await two.open(), { ...remote, remote: depot } as never);
    expect(report.code).toBeNull();
  });

  it('is not taken where the version, or its name, is something else', async () => {
    const one = await withVersion(await makePlainProject(), 'v1');
    const { file } = await pack(one, ['bert@v1']);
    const other = await withVersion(await makePlainProject(), 'v1', 'other');
    const named = await withVersion(await makePlainProject(), 'v0', 'other');
    await deployHere(named, 'v0', 'v1');
    for (const [project, code] of [
      [other, 'version-exists'],
      [named, 'name-taken'],
    ] as const) {
      const before = filesBelow(project.root);
      await expect(take(project, file)).rejects.toMatchObject({ code });
      expect(filesBelow(project.root)).toEqual(before);
    }
  });

  it('leaves a history alone that went on by itself, and is taken otherwise', async () => {
    const one = await withVersion(await makePlainProject(), 'v1');
    await deployHere(one, 'v1', 'production');
    const first = await pack(one, ['bert@v1']);
    const two = await makePlainProject();
    await take(two, first.file);
    await withVersion(one, 'v2');
    await deployHere(one, 'v2', 'production');
    await deployHere(one, 'v2', 'staging');
    await withVersion(two, 'v9');
    await deployHere(two, 'v9', 'production');
    const second = await pack(one, ['bert@v2']);
    const taken = await take(two, second.file);
    expect(taken.conflicts).toMatchObject([{ kind: 'history', name: 'production' }]);
    expect(taken.records).toBe(2);
    const registry = await localRegistry(await two.open());
    expect((await registry.live('bert', 'production'))?.value.version).toBe('v9');
    expect((await registry.live('bert', 'staging'))?.value.version).toBe('v2');
    await two.checkout(['bert@v2'], { force: true });
    expect(stateOf(two.at('models/bert'))).toEqual(stateOf(one.at('models/bert')));
  });

  it('shares what the store has, and needs no room for it', async () => {
    const one = await withVersion(await makePlainProject(), 'v1');
    const { file } = await pack(one, ['bert@v1']);
    const two = await makePlainProject();
    writeModel(two, 'v1');
    await two.add('models/bert');
    expect(await take(two, file)).toMatchObject({ records: 1, bytesNew: 0 });
  });

  it('leaves nothing when it is interrupted', async () => {
    const one = await withVersion(await makePlainProject(), 'v1');
    const { file } = await pack(one, ['bert@v1']);
    const two = await makePlainProject();
    const before = filesBelow(two.root);
    const abort = new AbortController();
    const progress = { start: () => {}, finish: () => {}, advance: () => abort.abort() };
    const options = { signal: abort.signal, progress };
    const input = packageFile(file, abort.signal);
    await expect(unpackage(await two.open(), input, options)).rejects.toMatchObject({
      code: 'interrupted',
    });
    expect(filesBelow(two.root)).toEqual(before);
    expect(fs.readdirSync(two.at('.modelstore/tmp'))).toEqual([]);
  });
});

describe('unpackaging to a directory', () => {
  it('takes an empty directory, and another with force alone, whole', async () => {
    const one = await withVersion(await makePlainProject(), 'v1');
    const { file } = await pack(one, ['bert@v1']);
    const to = scratchFolder();
    const run = (options = {}) => unpackageTo(packageFile(file), to, testSurroundings(), options);
    await run();
    fs.writeFileSync(path.join(to, 'more'), 'x');
    await expect(run()).rejects.toMatchObject({ code: 'destination-exists' });
    await run({ force: true });
    expect(stateOf(to)).toEqual(stateOf(one.at('models/bert')));
  });

  it('never replaces a workspace, a repository or the current folder', async () => {
    const one = await withVersion(await makeProject(), 'v1');
    const { file } = await pack(one, ['bert@v1']);
    const keep = scratchFolder();
    for (const to of [one.root, keep, path.dirname(keep)]) {
      await expect(
        unpackageTo(packageFile(file), to, testSurroundings(), {
          force: true,
          keep: [keep],
        }),
      ).rejects.toMatchObject({ code: 'usage' });
    }
  });

  it('refuses names that Windows cannot hold, there', async () => {
    const one = await makePlainProject();
    one.write('m/aux.txt', 'x');
    await one.add('m');
    const { file } = await pack(one, ['m']);
    const to = path.join(scratchFolder(), 'out');
    const windows = testSurroundings({ platform: { platform: 'win32' } });
    await expect(unpackageTo(packageFile(file), to, windows)).rejects.toMatchObject({
      code: 'bad-name',
    });
    expect(fs.existsSync(to)).toBe(false);
  });
});

describe('an export', () => {
  it('writes the files, and with metadata their digests and the record', async () => {
    const one = await withVersion(await makePlainProject(), 'v1');
    const workspace = await one.open();
    const found = await findTargets(workspace, ['bert@v1'], one.root);
    const plain = path.join(scratchFolder(), 'plain');
    await exportTo(workspace, found, plain);
    expect(stateOf(plain)).toEqual(stateOf(one.at('models/bert')));
    const full = path.join(scratchFolder(), 'full');
    await exportTo(workspace, found, full, { metadata: true });
    const manifest = JSON.parse(fs.readFileSync(path.join(full, 'mstore-package.json'), 'utf8'));
    expect(manifest).toMatchObject({
      model: 'bert',
      version: 'v1',
      record: found.version?.record.sha256,
      document: { description: 'Größe', metrics: { bleu: 0.41 } },
    });
    expect(manifest.registry).toBeUndefined();
    for (const { path: name, sha256: digest } of manifest.files as Array<Record<string, string>>) {
      if (digest === undefined) continue;
      expect(sha256(fs.readFileSync(path.join(full, name ?? '')))).toBe(digest);
    }
    fs.rmSync(path.join(full, 'mstore-package.json'));
    expect(stateOf(full)).toEqual(stateOf(plain));
  });

  it('is of copies alone, and leaves the store as it is, whatever the configuration says', async () => {
    const one = await withVersion(await makePlainProject(), 'v1');
    fs.appendFileSync(one.at('.modelstore/config.toml'), '\n[checkout]\nlink = "symlink"\n');
    const workspace = await one.open();
    const found = await findTargets(workspace, ['bert@v1'], one.root);
    const before = stamps(one.at('.modelstore'));
    const to = path.join(scratchFolder(), 'plain');
    await exportTo(workspace, found, to);
    expect(stamps(one.at('.modelstore'))).toEqual(before);
    fs.rmSync(one.root, { recursive: true });
    expect(sha256(fs.readFileSync(path.join(to, 'weights.bin')))).toBe(
      sha256(noise(700_000, 'v1')),
    );
    expect(fs.lstatSync(path.join(to, 'weights.bin'))).toMatchObject({ nlink: 1 });
  });

  it('does not cover a file of the version', async () => {
    const one = await makePlainProject();
    one.write('m/MSTORE-package.json', 'x');
    await one.add('m');
    const workspace = await one.open();
    const found = await findTargets(workspace, ['m'], one.root);
    const to = path.join(scratchFolder(), 'out');
    await expect(exportTo(workspace, found, to, { metadata: true })).rejects.toMatchObject({
      code: 'name-collision',
    });
    expect(fs.existsSync(to)).toBe(false);
  });
});
