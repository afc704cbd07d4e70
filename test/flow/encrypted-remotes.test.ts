import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256, sha256Raw } from '../../src/base/digest.ts';
import { drawIdentity, wrapKey } from '../../src/encryption/age.ts';
import { formatWrappedKey, recipientKey } from '../../src/encryption/key-objects.ts';
import { drawMasterKey } from '../../src/encryption/keys.ts';
import { deploy } from '../../src/flow/environments.ts';
import { cleanUp } from '../../src/flow/gc/gc.ts';
import { remotePlace } from '../../src/flow/gc/place.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { changeRecipients } from '../../src/flow/recipients.ts';
import { register } from '../../src/flow/register.ts';
import { rekeyRemote } from '../../src/flow/rekey.ts';
import { addRemote, chooseAsItLies, chooseRemote, chooseToClear } from '../../src/flow/remotes.ts';
import { localRemote } from '../../src/remote/local.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import { bytesSource, type RemotePruner } from '../../src/remote/remote.ts';
import {
  makePlainProject,
  type Project,
  type SurroundingsChange,
  testSurroundings,
  withRemotes,
} from '../support/flow-project.ts';
import { noise, scratchFolder } from '../support/flow-scratch.ts';
import { verifyProject } from '../support/flow-verify.ts';
import { listKeys, readObject } from '../support/remote-bytes.ts';
import { newS3Remote, testS3Server } from '../support/s3-remote.ts';

const server = await testS3Server({ partBytesMin: 128 * 1024 });
const code = (expected: string) => expect.objectContaining({ code: expected });
const ann = await drawIdentity();
const bob = await drawIdentity();

/** Surroundings of a machine that has an identity. */
function machine(raw: RemotePruner, secret: string | undefined): SurroundingsChange {
  const file = path.join(scratchFolder(), 'identity.txt');
  if (secret !== undefined) fs.writeFileSync(file, `${secret}\n`);
  const own = secret === undefined ? {} : { MSTORE_IDENTITY_FILE: file };
  const author = { MSTORE_CORE_AUTHOR: 'Hidden Author <hidden@example.com>' };
  const env = { ...testSurroundings().env, ...own, ...author };
  return withRemotes({ vault: raw }, { env });
}

/** A workspace with an encrypted remote, to which a version was pushed and deployed. */
async function encryptedProject(raw: RemotePruner, recipients = [ann.recipient]) {
  const project = await makePlainProject(machine(raw, ann.secret));
  const options = { isDefault: true, create: true, encrypt: { recipients } };
  const added = await addRemote(
    await project.open(),
    'vault',
    'memory://vault',
    options,
    project.root,
  );
  expect(added).toMatchObject({
    state: 'created',
    encryption: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
  project.write('hidden-model/hidden-weights.bin', content);
  project.write('hidden-model/hidden-config.json', '{"hidden_key":"hidden_value"}');
  await project.add('hidden-model');
  await register(await project.open(), {
    model: 'hidden-name',
    version: 'hidden-version',
    description: 'hidden description',
    metrics: { hidden_metric: 0.5 },
  });
  await pushAll(project);
  const target = { model: 'hidden-name', version: 'hidden-version', environment: 'hidden-env' };
  await deploy(await project.open(), target, { remote: await remoteOf(project) });
  return project;
}

const content = noise(900_000, 'hidden');
const jobs = 4;

async function remoteOf(project: Project) {
  return chooseRemote(await project.open(), 'vault', project.root);
}

async function pushAll(project: Project) {
  const workspace = await project.open();
  await project.push([], 'vault');
  return pushWithVersions(workspace, [], await remoteOf(project), { registry: 'all' });
}

/** Lists what a remote is said to hold. */
async function readAll(project: Project): Promise<string[]> {
  return listKeys((await chooseToClear(await project.open(), 'vault', project.root)).remote);
}

async function asItLies(project: Project) {
  return chooseAsItLies(await project.open(), 'vault', project.root);
}

/** What must not be anywhere on an encrypted remote. */
async function secretsOf(project: Project): Promise<Buffer[]> {
  const remote = (await chooseToClear(await project.open(), 'vault', project.root)).remote;
  const clear = (await listKeys(remote)).flatMap((key) => key.match(/[0-9a-f]{32,}/g) ?? []);
  expect(clear.length).toBeGreaterThan(4);
  const digests = [...clear, sha256(content)];
  return [
    ...['hidden', '"sha256"', '"mstore-', 'MSTOREPK', 'MSTORERC', 'MSTOREFT'].map((text) =>
      Buffer.from(text),
    ),
    ...digests.map((digest) => Buffer.from(digest)),
    ...digests.map((digest) => Buffer.from(digest, 'hex')),
    sha256Raw(content),
    ...[0, 100_000, 899_900].map((at) => content.subarray(at, at + 24)),
  ];
}

const remotes: ReadonlyArray<readonly [string, () => RemotePruner]> = [
  ['a directory', () => localRemote(scratchFolder())],
  ['S3, in parts', () => newS3Remote(server, { partBytes: 128 * 1024 })],
];

describe.each(remotes)('an encrypted remote on %s', (_, makeRaw) => {
  it('serves pushes, deployments, fetches and verification, and tells nothing', {
    timeout: 60_000,
  }, async () => {
    const raw = makeRaw();
    const project = await encryptedProject(raw);
    const report = await verifyProject(project, { remote: 'vault' });
    expect(report).toMatchObject({ code: null, damage: 0, contents: 3 });
    expect(report.blobsHashed).toBeGreaterThan(0);
    // What is there is not sent again.
    const again = await project.push([], 'vault');
    expect(again).toMatchObject({ chunksSent: 0, packsSent: 0, bytesSent: 0 });
    // Another host, with an empty store.
    const other = await makePlainProject(machine(raw, ann.secret));
    for (const name of ['.modelstore/config.toml', 'hidden-model.mstore']) {
      other.write(name, project.read(name));
    }
    await other.fetch([], 'vault');
    await other.checkout();
    expect(other.read('hidden-model/hidden-weights.bin').equals(content)).toBe(true);

    // A damaged pack is found, and healed from the local store; a clean-up finds nothing needless.
    const [pack = ''] = await listKeys(raw, 'packs/');
    const there = await readObject(raw, pack);
    await raw.delete(pack);
    there[5000] = (there[5000] ?? 0) ^ 1;
    await raw.create(pack, bytesSource(there));
    const look = { remote: 'vault' };
    expect(await verifyProject(project, look)).toMatchObject({ code: 'corrupt-remote' });
    const healed = await verifyProject(project, { ...look, repair: true });
    expect(healed).toMatchObject({ code: null, damage: 0 });
    const workspace = await project.open();
    const chosen = await chooseToClear(workspace, 'vault', project.root);
    const cleaned = await cleanUp(workspace, remotePlace(workspace, chosen), {});
    expect(cleaned.kept.packs).toBeGreaterThan(0);

    const needles = await secretsOf(project);
    let bytes = 0;
    for (const key of await listKeys(raw)) {
      const object = await readObject(raw, key);
      bytes += object.length;
      for (const needle of needles) {
        const told = `${needle.toString('latin1')} in ${key}`;
        if (key !== 'mstore.json') expect(object.includes(needle), told).toBe(false);
        expect(Buffer.from(key).includes(needle), told).toBe(false);
      }
    }
    expect(bytes).toBeGreaterThan(content.length);
    expect(String(await readObject(raw, 'mstore.json'))).not.toContain('hidden');
  });
});

it('what is not complete yet is encrypted too', async () => {
  const folder = scratchFolder();
  const project = await encryptedProject(localRemote(folder));
  const { remote } = await remoteOf(project);
  const stop = new AbortController();
  let seen = 0;
  const large = noise(12_000_000, 'large');
  async function* blocks() {
    yield large;
    const temps = fs.readdirSync(path.join(folder, 'tmp'), {
      recursive: true,
      withFileTypes: true,
    });
    for (const entry of temps.filter((one) => one.isFile())) {
      const bytes = fs.readFileSync(path.join(entry.parentPath, entry.name));
      seen += bytes.length;
      expect(bytes.includes(large.subarray(0, 24))).toBe(false);
      expect(bytes.includes(large.subarray(65_536, 65_560))).toBe(false);
    }
    stop.abort();
    yield large;
  }
  const source = { size: 2 * large.length, open: blocks };
  const { signal } = stop;
  await expect(remote.create('packs/x', source, { signal })).rejects.toEqual(code('interrupted'));
  expect(seen).toBeGreaterThan(100_000);
});

describe('a remote that must be encrypted', () => {
  /** Pushes and reads, which must both be refused. */
  async function refuses(project: Project, expected: string) {
    await expect(pushAll(project)).rejects.toEqual(code(expected));
    await expect(readAll(project)).rejects.toEqual(code(expected));
  }

  async function overwrite(raw: RemotePruner, key: string, text: string | Uint8Array) {
    await raw.delete(key);
    await raw.create(key, bytesSource(Buffer.from(text)));
  }

  it('is refused when it says nothing of it any more, or is gone', async () => {
    const raw = memoryRemote();
    const project = await encryptedProject(raw);
    const header = JSON.parse(String(await readObject(raw, 'mstore.json'))) as object;
    await overwrite(raw, 'mstore.json', JSON.stringify({ ...header, encryption: undefined }));
    project.write('more.bin', 'more');
    await project.add('more.bin');
    const before = await listKeys(raw);
    await refuses(project, 'key-changed');
    await overwrite(raw, 'mstore.json', 'no header');
    await refuses(project, 'key-changed');
    await overwrite(raw, 'mstore.json', JSON.stringify({ ...header, encryption: { version: 2 } }));
    await refuses(project, 'newer-format');
    await overwrite(raw, 'mstore.json', JSON.stringify({ ...header, encryption: { version: 1 } }));
    await refuses(project, 'corrupt-remote');
    await raw.delete('mstore.json');
    await refuses(project, 'key-changed');
    expect(await listKeys(raw)).toEqual(before.filter((key) => key !== 'mstore.json'));
  });

  it('is refused with a key of somebody who knows the recipients', async () => {
    const raw = memoryRemote();
    const project = await encryptedProject(raw);
    const evil = drawMasterKey(testSurroundings().random);
    const file = await wrapKey(evil.bytes, { kind: 'age', key: ann.recipient });
    const wrapped = { recipient: ann.recipient, added: '2025-01-01T00:00:00.000Z', file };
    const planted = formatWrappedKey(evil, wrapped);
    await raw.create(recipientKey(evil.id, ann.recipient), bytesSource(planted));
    const header = String(await readObject(raw, 'mstore.json'));
    const pinned = (await project.open()).config.string('remote.vault.encryption') ?? '';
    await overwrite(raw, 'mstore.json', header.replace(pinned, evil.id));
    await refuses(project, 'key-changed');
    // A chain that leads to it is no better.
    await overwrite(raw, 'mstore.json', header);
    await raw.create(
      `keys/${pinned}/closed.json`,
      bytesSource(Buffer.from(`{"mstore":1,"next":"${evil.id}"}`)),
    );
    await raw.create(`keys/${evil.id}/live.json`, bytesSource(Buffer.from('{}')));
    await refuses(project, 'key-changed');
    // Nor is their key under the id of ours.
    await raw.delete(`keys/${pinned}/closed.json`);
    await overwrite(raw, recipientKey(pinned, ann.recipient), planted);
    await refuses(project, 'corrupt-remote');
  });

  it('is opened by its recipients alone, whose wrapped keys are checked', async () => {
    const raw = memoryRemote();
    const project = await encryptedProject(raw);
    const key = (await project.open()).config.string('remote.vault.encryption') ?? '';
    const withSecret = async (secret: string | undefined) => {
      const other = await makePlainProject(machine(raw, secret));
      other.write('.modelstore/config.toml', project.read('.modelstore/config.toml'));
      other.write('hidden-model.mstore', project.read('hidden-model.mstore'));
      return other;
    };
    await refuses(await withSecret(bob.secret), 'wrong-key');
    await refuses(await withSecret(undefined), 'wrong-key');
    const object = recipientKey(key, ann.recipient);
    const good = await readObject(raw, object);
    const wrapped = JSON.parse(String(good)) as Record<string, string>;
    const file = Buffer.from(wrapped['wrapped'] ?? '', 'base64');
    for (let at = 0; at < file.length; at += 23) {
      const changed = Buffer.from(file);
      changed[at] = (changed[at] ?? 0) ^ 1;
      await overwrite(
        raw,
        object,
        JSON.stringify({ ...wrapped, wrapped: changed.toString('base64') }),
      );
      await refuses(project, 'corrupt-remote');
    }
    await overwrite(raw, object, good.subarray(0, 100));
    await refuses(project, 'corrupt-remote');
    await overwrite(raw, object, good);
    expect(await project.push([], 'vault')).toMatchObject({ packsSent: 0 });
  });

  it('names neither identities nor variables in what a repository brings along', async () => {
    const raw = memoryRemote();
    const project = await encryptedProject(raw);
    const config = String(project.read('.modelstore/config.toml'));
    const none = await makePlainProject(machine(raw, undefined));
    for (const bad of ['[identity]\nfile = "/etc/passwd"\n', 'passphrase_env = "HOME"\n']) {
      none.write('.modelstore/config.toml', `${config}\n${bad}`);
      await refuses(none, 'config-invalid');
    }
  });
});

describe('a passphrase', () => {
  it('opens a remote, and a wrong one is told from none', { timeout: 60_000 }, async () => {
    const raw = memoryRemote();
    const withEnv = (more: NodeJS.ProcessEnv) =>
      withRemotes({ vault: raw }, { env: { ...testSurroundings().env, ...more } });
    const project = await makePlainProject(withEnv({ VAULT_WORDS: 'quarry onward velvet' }));
    const options = (passphraseEnv: string) => ({
      isDefault: true,
      create: true,
      encrypt: { recipients: [], passphraseEnv },
    });
    const add = async (env: string, change = {}) =>
      addRemote(await project.open(change), 'vault', 'memory://vault', options(env), project.root);
    await expect(add('NOT_SET')).rejects.toEqual(code('usage'));
    await expect(add('a b')).rejects.toEqual(code('usage'));
    await expect(add('SHORT', withEnv({ SHORT: 'word' }))).rejects.toEqual(code('usage'));
    expect(await listKeys(raw)).toEqual([]);
    expect(await add('VAULT_WORDS')).toMatchObject({ state: 'created' });
    project.write('a.bin', 'weights');
    await project.add('a.bin');
    expect(await project.push([], 'vault')).toMatchObject({ chunksSent: 1 });
    const wrong = await chooseRemote(
      await project.open(withEnv({ VAULT_WORDS: 'quarry onward velour' })),
      'vault',
      project.root,
    );
    const error = await wrong.remote.stat('packs/x').catch((failure: unknown) => failure as Error);
    expect(error).toEqual(code('wrong-key'));
    expect(String(error)).toContain('the passphrase is wrong');
    expect(JSON.stringify(error) + String(error)).not.toContain('quarry');
  });
});

describe('recipients', () => {
  it('come and go, and nothing is encrypted anew', async () => {
    const raw = memoryRemote();
    const project = await encryptedProject(raw);
    const objects = async () =>
      (await listKeys(raw)).filter((key) => !/^(?:keys|audit)\//.test(key));
    const before = await objects();
    const change = async (add: string[], remove: string[], who = project) =>
      changeRecipients(await who.open(), await asItLies(who), { add: { recipients: add }, remove });
    expect(await change([bob.recipient], [])).toMatchObject({ added: [bob.recipient] });
    expect(await change([bob.recipient], [])).toMatchObject({ added: [] });
    const other = await makePlainProject(machine(raw, bob.secret));
    for (const name of ['.modelstore/config.toml', 'hidden-model.mstore'])
      other.write(name, project.read(name));
    expect(await other.fetch([], 'vault')).toMatchObject({ chunksFetched: expect.any(Number) });
    await expect(change([], [ann.recipient, bob.recipient])).rejects.toEqual(code('usage'));
    expect(await change([], [bob.recipient])).toMatchObject({ removed: [bob.recipient] });
    await expect(change([], [bob.recipient])).rejects.toEqual(code('not-found'));
    await expect(change([], [], other)).rejects.toEqual(code('wrong-key'));
    await expect(change(['age1nonsense'], [])).rejects.toEqual(code('usage'));
    await expect(change([bob.secret], [])).rejects.toEqual(code('usage'));
    expect(await objects()).toEqual(before);
  });

  it('whom nobody vouched for are shown, and get no new key', async () => {
    const raw = memoryRemote();
    const project = await encryptedProject(raw);
    const key = (await project.open()).config.string('remote.vault.encryption') ?? '';
    const file = await wrapKey(Buffer.alloc(32), { kind: 'age', key: bob.recipient });
    const stranger = drawMasterKey(testSurroundings().random);
    const planted = { recipient: bob.recipient, added: '2025-01-01T00:00:00.000Z', file };
    const bytes = formatWrappedKey(stranger, planted);
    await raw.create(recipientKey(key, bob.recipient), bytesSource(bytes));
    const none = { add: { recipients: [] }, remove: [] };
    const { recipients } = await changeRecipients(
      await project.open(),
      await asItLies(project),
      none,
    );
    expect(recipients.find(({ recipient }) => recipient === bob.recipient)?.state).toBe(
      'unvouched',
    );
    await expect(rekey(project)).rejects.toEqual(code('corrupt-remote'));
    expect(await listKeys(raw, 'generations/')).toEqual([]);
    await rekey(project, [ann.recipient]);
  });
});

async function rekey(project: Project, recipients: string[] = [], restart = false) {
  const options = { recipients: { recipients }, restart, jobs };
  return rekeyRemote(await project.open(), await asItLies(project), options);
}

/** A remote that fails for good at one of its writes, as if the process had been killed there. */
function killedAt(
  raw: RemotePruner,
  write: number,
): { remote: RemotePruner; writes: () => number } {
  let writes = 0;
  const count = async <T>(work: () => Promise<T>): Promise<T> => {
    writes++;
    if (writes > write) throw new Error('killed');
    return work();
  };
  const remote: RemotePruner = {
    ...raw,
    create: (key, source, options) => count(() => raw.create(key, source, options)),
    delete: (key, options) => count(() => raw.delete(key, options)),
  };
  return { remote, writes: () => writes };
}

describe('a new key', () => {
  it('takes the place of the old one, which opens nothing any more', async () => {
    const raw = memoryRemote();
    const project = await encryptedProject(raw, [ann.recipient, bob.recipient]);
    const old = project.read('.modelstore/config.toml');
    const stale = await remoteOf(project);
    await stale.remote.stat('packs/x');
    const before = await listKeys(raw);
    const result = await rekey(project, [ann.recipient]);
    expect(result.recipients).toEqual([ann.recipient]);
    expect(result.objects).toBeGreaterThan(5);
    const after = await listKeys(raw);
    expect(after.filter((key) => before.includes(key))).toEqual(['mstore.json']);
    expect(String(project.read('.modelstore/config.toml'))).toContain(result.key);
    expect(await verifyProject(project, { remote: 'vault' })).toMatchObject({
      code: null,
      contents: 3,
    });
    expect(await project.push([], 'vault')).toMatchObject({ packsSent: 0, bytesSent: 0 });
    // Who has the configuration of before is told to take the new one over; so is who was at work.
    const late = await makePlainProject(machine(raw, bob.secret));
    late.write('.modelstore/config.toml', old);
    await expect(late.push([], 'vault')).rejects.toEqual(code('key-changed'));
    await expect(readObject(stale.remote, 'packs/x')).rejects.toEqual(code('key-changed'));
    await expect(stale.remote.create('roots/x', bytesSource(Buffer.from('x')))).rejects.toEqual(
      code('key-changed'),
    );
    late.write('.modelstore/config.toml', project.read('.modelstore/config.toml'));
    await expect(late.push([], 'vault')).rejects.toEqual(code('wrong-key'));
    // And once more, from a folder of its own.
    const second = await rekey(project);
    // The log has one line more.
    expect(second).toMatchObject({ before: result.key, objects: result.objects + 1 });
    expect(await verifyProject(project, { remote: 'vault' })).toMatchObject({
      code: null,
      contents: 3,
    });
  });

  it('comes to its end by the same command, wherever it was killed', {
    timeout: 120_000,
  }, async () => {
    let raw = memoryRemote();
    const proxy = { current: raw };
    const forwarded = forward(proxy);
    const project = await encryptedProject(forwarded);
    for (let write = 0, ended = false; !ended; write++) {
      raw = proxy.current;
      const { remote, writes } = killedAt(raw, write);
      proxy.current = remote;
      const killed = await rekey(project).catch((error: unknown) => error as Error);
      ended = writes() <= write;
      proxy.current = raw;
      if (!ended) {
        expect(String(killed), `write ${write}`).toContain('killed');
        await rekey(project).catch((error: unknown) => {
          throw new Error(`after write ${write}`, { cause: error });
        });
      }
      // Each run adds a line to the log, which the next one would have to copy.
      const keys = await listKeys(raw);
      for (const name of keys) if (name.includes('audit/')) await raw.delete(name);
      const { key } = await keyOf(project);
      const stray = keys.filter(
        (name) =>
          !name.includes(key) && !/^(mstore\.json$|keys\/.*(closed|live)\.json$)/.test(name),
      );
      expect(stray, `write ${write}`).toEqual([]);
      if (write % 6 !== 0 && !ended) continue;
      expect(await verifyProject(project, { remote: 'vault' })).toMatchObject({
        code: null,
        contents: 3,
      });
    }
  });

  it('is begun anew on demand alone where another workspace began it', async () => {
    const raw = memoryRemote();
    const proxy = { current: raw };
    const project = await encryptedProject(forward(proxy));
    const config = project.read('.modelstore/config.toml');
    proxy.current = killedAt(raw, 5).remote;
    await expect(rekey(project)).rejects.toThrow('killed');
    proxy.current = raw;
    const other = await makePlainProject(machine(raw, ann.secret));
    other.write('.modelstore/config.toml', config);
    await expect(rekey(other)).rejects.toEqual(code('lost-race'));
    // What is being replaced can be read, and nothing is recorded there.
    expect(await verifyProject(other, { remote: 'vault' })).toMatchObject({ code: null });
    await expect(pushAll(project)).resolves.toBeDefined();
    await rekey(other, [], true);
    expect(await verifyProject(other, { remote: 'vault' })).toMatchObject({
      code: null,
      contents: 3,
    });
    await expect(rekey(project)).rejects.toEqual(code('key-changed'));
  });

  it('loses nothing that was told to be recorded while it was brought in', async () => {
    const raw = memoryRemote();
    const proxy = { current: raw };
    const project = await encryptedProject(forward(proxy));
    const { remote } = await chooseToClear(await project.open(), 'vault', project.root);
    const told: string[] = [];
    let [number, over] = [0, false];
    const writer = (async () => {
      while (!over) {
        const key = `roots/${'ab'.repeat(16)}/${number++}.json`;
        try {
          await remote.create(key, bytesSource(Buffer.from(key)));
          told.push(key);
        } catch (error) {
          expect(error).toEqual(code('key-changed'));
          over = true;
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await rekey(project);
    await writer;
    expect(told.length).toBeGreaterThan(3);
    const after = await chooseToClear(await project.open(), 'vault', project.root);
    for (const key of told) expect(String(await readObject(after.remote, key))).toBe(key);
  });
});

/** A remote that can be replaced by another meanwhile. */
function forward(proxy: { current: RemotePruner }): RemotePruner {
  return {
    location: 'memory://vault',
    get: (...args) => proxy.current.get(...args),
    stat: (...args) => proxy.current.stat(...args),
    list: (...args) => proxy.current.list(...args),
    create: (...args) => proxy.current.create(...args),
    delete: (...args) => proxy.current.delete(...args),
  };
}

/** The key that the configuration names. */
async function keyOf(project: Project): Promise<{ key: string }> {
  return { key: (await project.open()).config.string('remote.vault.encryption') ?? '' };
}
