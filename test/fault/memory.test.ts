import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { register } from '../../src/flow/register.ts';
import { addRemote } from '../../src/flow/remotes.ts';
import { cliEnv } from '../support/cli.ts';
import { makePlainProject, makeProject, type Project } from '../support/flow-project.ts';
import { noise, scratchFolder } from '../support/flow-scratch.ts';
import { bytesBelow } from '../support/flow-state.ts';
import { gcsEnvironment, testGcsServer } from '../support/gcs-remote.ts';
import { HubServer } from '../support/hub-server.ts';
import { runs } from '../support/runs.ts';
import { s3Environment, testS3Server, testTls } from '../support/s3-remote.ts';

const mib = 1024 * 1024;
/** What any command may hold at its peak, Node itself included, however large the files are. */
const peakBytesMax = 200 * mib;
/** The heap of JavaScript gets far less: a file that is held whole fails at once. */
const heapMib = 64;
const fileBytes = runs(512).numRuns * mib;

const program = path.resolve(import.meta.dirname, '../tools/peak-memory.js');

/** Runs a command under the limit and returns the bytes it had at its peak. */
async function peakOf(
  project: Project,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  input: readonly object[] = [],
): Promise<number> {
  const child = spawn(process.execPath, [`--max-old-space-size=${heapMib}`, program, ...args], {
    cwd: project.root,
    env: { ...cliEnv, ...env },
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  child.stdin.end(input.map((line) => `${JSON.stringify(line)}\n`).join(''));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    stderr += part;
  });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  expect(code, stderr).toBe(0);
  return Number(/peak (\d+)/.exec(stderr)?.[1] ?? Number.NaN);
}

/** Makes a large file that is mostly holes, with noise here and there, so that it fills packs too. */
function makeLargeFile(file: string): void {
  const fd = fs.openSync(file, 'w');
  for (let at = 0; at < fileBytes; at += 16 * mib)
    fs.writeSync(fd, noise(3 * mib, at), 0, 3 * mib, at);
  fs.ftruncateSync(fd, fileBytes);
  fs.closeSync(fd);
}

function digestOf(file: string): string {
  const hash = createHash('sha256');
  const fd = fs.openSync(file, 'r');
  const block = Buffer.alloc(4 * mib);
  for (let count = 1; count > 0; ) {
    count = fs.readSync(fd, block);
    hash.update(block.subarray(0, count));
  }
  fs.closeSync(fd);
  return hash.digest('hex');
}

describe('memory', () => {
  it('of the agent of Git LFS stays below 200 MiB, however large the object is', {
    timeout: 60_000 * (fileBytes / (512 * mib)) + 60_000,
  }, async () => {
    const project = await makeProject();
    const remote = path.join(scratchFolder(), 'remote');
    const options = { isDefault: true, create: true };
    await addRemote(await project.open(), 'origin', remote, options, project.root);
    const file = path.join(scratchFolder(), 'large.bin');
    makeLargeFile(file);
    const object = { oid: digestOf(file), size: fileBytes };
    const ask = (event: 'upload' | 'download') => [
      {
        event: 'init',
        operation: event,
        remote: 'origin',
        concurrent: true,
        concurrenttransfers: 8,
      },
      { event, ...object, path: file },
    ];
    const up = await peakOf(project, ['lfs-agent'], {}, ask('upload'));
    const down = await peakOf(project, ['lfs-agent'], {}, ask('download'));
    expect(Math.max(up, down)).toBeLessThan(peakBytesMax);
    const [received = ''] = fs.readdirSync(project.at('.git/lfs/tmp'));
    expect(digestOf(project.at(`.git/lfs/tmp/${received}`))).toBe(object.oid);
  });

  it('stays below 200 MiB, however large the file is', {
    timeout: 60_000 * (fileBytes / (512 * mib)) + 60_000,
  }, async () => {
    const project = await makePlainProject();
    const remote = path.join(scratchFolder(), 'remote');
    const options = { isDefault: true, create: true };
    await addRemote(await project.open(), 'origin', remote, options, project.root);
    makeLargeFile(project.at('large.bin'));
    const peaks: Record<string, number> = {};
    peaks['add'] = await peakOf(project, ['add', 'large.bin']);
    peaks['push'] = await peakOf(project, ['push']);
    const pointer = JSON.parse(project.read('large.bin.mstore').toString());
    fs.rmSync(project.at('large.bin'));
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    peaks['fetch'] = await peakOf(project, ['fetch']);
    peaks['checkout'] = await peakOf(project, ['checkout']);
    expect(fs.statSync(project.at('large.bin')).size).toBe(fileBytes);
    expect(digestOf(project.at('large.bin'))).toBe(pointer.sha256);
    fs.utimesSync(project.at('large.bin'), 1, 1);
    peaks['status'] = await peakOf(project, ['status']);
    peaks['verify'] = await peakOf(project, ['verify']);
    // What is left of it ends in the middle of a pack, which a clean-up writes anew.
    fs.truncateSync(project.at('large.bin'), fileBytes / 4 - 10 * mib);
    await peakOf(project, ['add', 'large.bin']);
    const before = bytesBelow(project.at('.modelstore/store/packs'));
    peaks['gc'] = await peakOf(project, ['gc', '--grace', '0']);
    // The old one stays for whoever reads it.
    expect(bytesBelow(project.at('.modelstore/store/packs'))).toBeGreaterThan(before * 1.1);
    peaks['verify after gc'] = await peakOf(project, ['verify']);
    for (const [command, peak] of Object.entries(peaks)) {
      expect(peak, command).toBeGreaterThan(20 * mib);
      expect(peak, command).toBeLessThan(peakBytesMax);
    }
  });

  it('stays below 200 MiB for what is published, however large the files are', {
    timeout: 60_000 * (fileBytes / (512 * mib)) + 60_000,
  }, async () => {
    const hub = await HubServer.start();
    hub.tokens.set('hf_write', { granted: true, writes: true });
    Object.assign(hub.writes, { partBytesMin: 0, partBytes: 64 * mib });
    const project = await makePlainProject();
    makeLargeFile(project.at('large.bin'));
    await project.add('large.bin');
    const version = { model: 'large', version: 'v1', path: 'large.bin' };
    await register(await project.open(), version);
    const env = { HF_ENDPOINT: hub.endpoint, HF_TOKEN: 'hf_write' };
    const peak = await peakOf(project, ['publish', 'large@v1', '--to', 'hf:me/large'], env);
    expect(peak).toBeGreaterThan(20 * mib);
    expect(peak).toBeLessThan(peakBytesMax);
    expect([...hub.writes.objects.keys()]).toEqual([digestOf(project.at('large.bin'))]);
  });

  it('stays below 200 MiB for packages, however large the files are', {
    timeout: 60_000 * (fileBytes / (512 * mib)) + 60_000,
  }, async () => {
    const project = await makePlainProject();
    const island = await makePlainProject();
    makeLargeFile(project.at('large.bin'));
    await peakOf(project, ['add', 'large.bin']);
    await peakOf(project, ['register', 'large@v1', 'large.bin']);
    const { sha256 } = JSON.parse(project.read('large.bin.mstore').toString());
    fs.rmSync(project.at('large.bin'));
    const file = path.join(project.root, 'large_v1.tar.gz');
    const peaks: Record<string, number> = {};
    peaks['package'] = await peakOf(project, ['package', 'large@v1']);
    const digest = digestOf(file);
    peaks['package again'] = await peakOf(project, ['package', 'large@v1', '--force']);
    expect(digestOf(file)).toBe(digest);
    peaks['unpackage --to'] = await peakOf(island, ['unpackage', file, '--to', 'out']);
    expect(digestOf(island.at('out/large.bin'))).toBe(sha256);
    fs.rmSync(island.at('out'), { recursive: true });
    peaks['unpackage'] = await peakOf(island, ['unpackage', file]);
    fs.rmSync(file);
    expect((await peakOf(island, ['checkout', 'large@v1'])) < peakBytesMax).toBe(true);
    expect(digestOf(island.at('large.bin'))).toBe(sha256);
    for (const [command, peak] of Object.entries(peaks)) {
      expect(peak, command).toBeGreaterThan(20 * mib);
      expect(peak, command).toBeLessThan(peakBytesMax);
    }
  });

  const services: readonly [string, () => Promise<Service>][] = [
    ['S3', s3Service],
    ['GCS', gcsService],
  ];
  it.each(services)(
    'stays below 300 MiB with %s, however many transfers are allowed',
    {
      timeout: 240_000,
    },
    async (_, startService) => {
      const { url, settings, env } = await startService();
      const project = await makePlainProject();
      // More than one pack, and more parts than are in memory at once.
      for (let part = 0; part < 5; part++) {
        fs.appendFileSync(project.at('large.bin'), noise(64 * mib, part));
      }
      const digest = digestOf(project.at('large.bin'));
      await peakOf(project, ['add', 'large.bin']);
      for (const [key, value] of Object.entries(settings)) {
        await peakOf(project, ['config', 'set', `remote.origin.${key}`, value]);
      }
      await peakOf(project, ['remote', 'add', 'origin', url], env);
      const push = await peakOf(project, ['push', '--jobs', '256'], env);
      fs.rmSync(project.at('large.bin'));
      fs.rmSync(project.at('.modelstore/store'), { recursive: true });
      const pull = await peakOf(project, ['pull', '--jobs', '256'], env);
      expect(digestOf(project.at('large.bin'))).toBe(digest);
      for (const peak of [push, pull]) {
        expect(peak).toBeGreaterThan(100 * mib);
        expect(peak).toBeLessThan(300 * mib);
      }
    },
  );
});

/** A remote on a service, over TLS, and what commands need for it. */
interface Service {
  readonly url: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly env: NodeJS.ProcessEnv;
}

async function s3Service(): Promise<Service> {
  const { accessKey, secret, endpoint, region } = await testS3Server({ tls: testTls });
  return {
    url: 's3://models/memory',
    settings: { endpoint, region },
    env: {
      ...s3Environment({ accessKey, secret }),
      NODE_EXTRA_CA_CERTS: testTls.authority,
    },
  };
}

async function gcsService(): Promise<Service> {
  const server = await testGcsServer({ tls: testTls });
  return {
    url: 'gs://models/memory',
    settings: { endpoint: server.endpoint },
    env: {
      ...gcsEnvironment(server),
      MSTORE_REMOTE_ORIGIN_ENDPOINT: server.endpoint,
      NODE_EXTRA_CA_CERTS: testTls.authority,
    },
  };
}
