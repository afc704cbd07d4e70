import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { importDvc } from '../../src/flow/import/dvc-import.ts';
import { DvcFixture } from '../support/dvc-repository.ts';
import { projectAt } from '../support/flow-project.ts';
import { gcsEnvironment, testGcsServer } from '../support/gcs-remote.ts';
import { contentOf, type Importer, makeImporter } from '../support/importing.ts';
import { testS3Server } from '../support/s3-remote.ts';

const fixtures = path.resolve(import.meta.dirname, '../fixtures');

/** What was given to the real DVC of the fixtures. */
const recorded: Readonly<Record<string, string>> = {
  'models/m.bin': 'weights one\n',
  'models/vocab.txt': 'a\r\nb\r\n',
  'data/a.txt': 'x',
  'data/sub/b.txt': 'y\r\n',
  'data/ü.txt': 'u',
  'data/𝒳.txt': 'v',
  'data/｡.txt': 'w',
  'out.bin': 'trained',
  'wd/o.txt': 'hi\n',
};

describe.each(['dvc-2', 'dvc-3'])('what the real DVC wrote, %s', (name) => {
  it('comes over byte for byte from its remote', async () => {
    const project = projectAt((await makeImporter()).root);
    fs.cpSync(path.join(fixtures, name, 'repo'), project.root, { recursive: true });
    fs.cpSync(path.join(fixtures, name, 'store'), project.at('../store'), { recursive: true });
    const { outputs } = await importDvc(await project.open(), { folder: project.root });
    expect(outputs.map(({ path: one, outcome }) => `${one} ${outcome}`)).toEqual([
      'data taken',
      'metrics.json left-out',
      'models/m.bin taken',
      'models/vocab.txt taken',
      'out.bin taken',
      'wd/o.txt taken',
    ]);
    await project.checkout();
    for (const [file, text] of Object.entries(recorded)) {
      expect(project.read(file).toString(), file).toBe(text);
    }
  });
});

const s3 = await testS3Server();
const gcs = await testGcsServer();
const weights = randomBytes(2_000_000);
const files = { 'a.bin': weights, 'b/a.bin': weights, 'c.txt': 'c' };

let one: Importer;
let dvc: DvcFixture;

beforeEach(async () => {
  one = await makeImporter();
  dvc = new DvcFixture(one.root);
  s3.heal();
  s3.log.length = 0;
});

/** Puts all objects of the cache into a bucket, below a folder. */
function moveTo(kind: 's3' | 'gs', bucket: string, folder: string): void {
  for (const entry of fs.readdirSync(dvc.objects, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const key = `${folder}/${path.relative(dvc.objects, file)}`;
    const bytes = fs.readFileSync(file);
    const etag = `"${createHash('md5').update(bytes).digest('hex')}"`;
    if (kind === 's3') s3.buckets.get(bucket)?.set(key, { bytes, etag, headers: {} });
    else
      gcs.buckets
        .get(bucket)
        ?.set(key, { bytes, generation: 1, resource: {}, created: new Date(0) });
  }
  fs.rmSync(dvc.objects, { recursive: true });
}

function remote(url: string, ...lines: readonly string[]): void {
  dvc.configure('[core]', 'remote = r', '[\'remote "r"\']', `url = ${url}`, ...lines);
}

/** Lines of a file that Git does not have. */
function local(...lines: readonly string[]): void {
  dvc.write('.dvc/config.local', ['[\'remote "r"\']', ...lines, ''].join('\n'));
}

const expected = { 'a.bin': contentOf(weights), 'b/a.bin': contentOf(weights), 'c.txt': 'c' };
const s3Place = () => [`endpointurl = ${s3.endpoint}`, `region = ${s3.region}`];

describe('a remote of DVC in S3', () => {
  it.each(['md5', 'md5-dos2unix'] as const)(
    'is read with the settings of DVC: %s',
    async (hash) => {
      dvc.folder('data', files, { hash });
      moveTo('s3', 'models', `store ${hash}`);
      remote(`s3://models/store ${hash}/`, ...s3Place());
      const { record, bytesReceived } = await one.take('dvc:data', 'm@v1');
      expect(bytesReceived).toBe(4_000_001);
      expect(record.value.source).toMatchObject({ imported: { hash } });
      expect(await one.files('m@v1')).toEqual(expected);
      // Another version with one more file asks for its list and that file.
      dvc.folder('data', { ...files, 'd.txt': 'd' }, { hash });
      moveTo('s3', 'models', `store ${hash}`);
      s3.log.length = 0;
      expect((await one.take('dvc:data', 'm@v2')).bytesReceived).toBe(1);
      expect(s3.log.filter((line) => line.startsWith('GET'))).toHaveLength(2);
    },
  );

  it('is read with keys of the configuration, or of a file that it names', async () => {
    dvc.file('m.bin', 'm');
    moveTo('s3', 'models', 'keys');
    remote('s3://models/keys', ...s3Place(), 'access_key_id = wrong', 'secret_access_key = wrong');
    await expect(one.take('dvc:m.bin', 'm@v1')).rejects.toMatchObject({ code: 'remote-refused' });
    local(`access_key_id = ${s3.accessKey}`, `secret_access_key = '${s3.secret}'`);
    const { accessKey, secret } = s3;
    const before = { ...process.env };
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'wrong', AWS_SECRET_ACCESS_KEY: 'wrong' });
    try {
      expect(await one.take('dvc:m.bin', 'm@v1')).toMatchObject({ created: true });
      fs.rmSync(dvc.at('.modelstore/cache/dvc.json'));
      dvc.write('.dvc/config', '');
      remote('s3://models/keys', 'credentialpath = ../keys', 'configpath = ../aws', 'profile = p');
      dvc.write('.dvc/config.local', '');
      dvc.write(
        'keys',
        `[default]\n[p]\naws_access_key_id=${accessKey}\naws_secret_access_key = ${secret}\n`,
      );
      dvc.write('aws', `[profile p]\nregion = ${s3.region}\nendpoint_url = ${s3.endpoint}\n`);
      expect(await one.take('dvc:m.bin', 'n@v1')).toMatchObject({ bytesReceived: 1 });
    } finally {
      process.env['AWS_ACCESS_KEY_ID'] = before['AWS_ACCESS_KEY_ID'];
      process.env['AWS_SECRET_ACCESS_KEY'] = before['AWS_SECRET_ACCESS_KEY'];
    }
  });

  it('goes on where it broke off, and does not take wrong bytes', async () => {
    const md5 = dvc.file('m.bin', weights);
    moveTo('s3', 'models', 'faults');
    remote('s3://models/faults', ...s3Place());
    s3.fault({ how: 'truncate', at: `GET /models/faults/files/md5/${md5.slice(0, 2)}`, times: 1 });
    expect(await one.take('dvc:m.bin', 'm@v1')).toMatchObject({ bytesReceived: 2_000_000 });
    fs.rmSync(dvc.at('.modelstore/cache/dvc.json'));
    s3.fault({ how: 'wrong-bytes', at: 'GET /models/faults', times: 9 });
    await expect(one.take('dvc:m.bin', 'n@v1')).rejects.toMatchObject({
      code: 'corrupt-source',
      message: expect.stringContaining('other bytes'),
    });
  });

  it('is asked for what the cache lacks, and for what is damaged there', async () => {
    dvc.folder('data', files);
    const cached = dvc.objects;
    fs.cpSync(cached, `${cached}-copy`, { recursive: true });
    moveTo('s3', 'models', 'half');
    fs.renameSync(`${cached}-copy`, cached);
    const place = dvc.place({
      hash: 'md5',
      md5: createHash('md5').update(weights).digest('hex'),
      isList: false,
    });
    const damaged = Buffer.from(weights);
    damaged[5] = (damaged[5] ?? 0) ^ 1;
    fs.writeFileSync(place, damaged);
    remote('s3://models/half', ...s3Place());
    await one.take('dvc:data', 'm@v1');
    expect(await one.files('m@v1')).toEqual(expected);
    expect(s3.log.some((line) => line.includes('.dir'))).toBe(false);
  });

  it('is not asked offline', async () => {
    dvc.file('m.bin', 'm');
    moveTo('s3', 'models', 'off');
    remote('s3://models/off', ...s3Place());
    const offline = await makeImporter({ more: { offline: true } });
    fs.cpSync(dvc.at('.dvc'), path.join(offline.root, '.dvc'), { recursive: true });
    fs.copyFileSync(dvc.at('m.bin.dvc'), path.join(offline.root, 'm.bin.dvc'));
    await expect(offline.take('dvc:m.bin', 'm@v1')).rejects.toMatchObject({ code: 'offline' });
  });
});

describe('a remote of DVC in Cloud Storage', () => {
  it('is read by whoever may, and by nobody', async () => {
    dvc.folder('data', files);
    moveTo('gs', 'public', 'a store');
    remote('gcs://public/a store', `endpointurl = ${gcs.endpoint}`, 'allow_anonymous_login = true');
    await one.take('dvc:data', 'm@v1');
    expect(await one.files('m@v1')).toEqual(expected);
  });

  it('is told who asks only where the endpoint is of whoever runs the command', async () => {
    dvc.file('m.bin', 'm');
    moveTo('gs', 'models', 'own');
    remote('gs://models/own', `endpointurl = ${gcs.endpoint}`);
    const { GOOGLE_APPLICATION_CREDENTIALS: keys } = gcsEnvironment(gcs);
    const before = process.env['GOOGLE_APPLICATION_CREDENTIALS'];
    delete process.env['GOOGLE_APPLICATION_CREDENTIALS'];
    try {
      dvc.configure(`credentialpath = ${keys}`);
      await expect(one.take('dvc:m.bin', 'm@v1')).rejects.toMatchObject({ code: 'remote-refused' });
      local('url = gs://models/own', `endpointurl = ${gcs.endpoint}`);
      expect(await one.take('dvc:m.bin', 'm@v1')).toMatchObject({ bytesReceived: 1 });
    } finally {
      process.env['GOOGLE_APPLICATION_CREDENTIALS'] = before;
    }
  });
});
