import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as http from 'node:http';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { cliEnv, mstoreOk, startMstore } from '../support/cli.ts';
import { makePublished } from '../support/resolving.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const mib = 1024 * 1024;
/** 1024 MiB with MSTORE_TEST_LOAD_MIB=1024: 200 GiB then go through the server, in some minutes. */
const fileBytes = Number(process.env['MSTORE_TEST_LOAD_MIB'] ?? 8) * mib;
const clients = 200;
const blockBytes = 64 * mib;

/** Writes a file of bytes that are all different, block by block; returns its digest. */
function writeFile(file: string): string {
  const hash = createHash('sha256');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const fd = fs.openSync(file, 'w');
  for (let at = 0, seed = 1; at < fileBytes; at += blockBytes) {
    const block = xorshiftBytes(seed++ * 7919, Math.min(blockBytes, fileBytes - at));
    hash.update(block);
    fs.writeSync(fd, block);
  }
  fs.closeSync(fd);
  return hash.digest('hex');
}

/** Fetches and hashes, without keeping anything. */
function digestAt(url: string, token: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    const request = http.get(url, { headers, agent: false }, (answer) => {
      const hash = createHash('sha256');
      answer.on('data', (bytes: Buffer) => hash.update(bytes));
      answer.once('error', reject);
      answer.once('end', () =>
        answer.complete && answer.statusCode === 200
          ? resolve(hash.digest('hex'))
          : reject(new Error(`It ended with ${answer.statusCode}`)),
      );
    });
    request.once('error', reject);
  });
}

/** Most memory that a process ever had, in MB; undefined where the system does not tell. */
function peakMemory(pid: number | undefined): number | undefined {
  try {
    const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
    return Math.round((Number(/VmHWM:\s*(\d+) kB/.exec(status)?.[1]) * 1024) / 1e6);
  } catch {
    return undefined;
  }
}

describe('a server under load', () => {
  it('gives 200 clients a version while another is pushed: no error, bounded memory, one read of the remote', async () => {
    const ws = await makePublished();
    const digest = writeFile(ws.at('models/bert/model.bin'));
    for (const args of [['add', 'models/bert'], ['register', 'bert@v1', 'models/bert'], ['push']]) {
      await mstoreOk(ws.root, ...args);
    }
    const host = tempFolder();
    const at = (name: string): string => path.join(host, name);
    const tokens = ['--token-file', at('tokens.json')];
    const made = await mstoreOk(host, 'token', 'create', 'all', '--scope', 'read,push', ...tokens);
    const MSTORE_TOKEN = made.stdout.trim();
    const cache = ['--cache', at('cache'), '--state', at('state')];
    const served = ['--remote', ws.remote, '--port', '0', '--url-file', at('url'), ...cache];
    const server = startMstore(host, ['serve', ...served, ...tokens]);
    while (!fs.existsSync(at('url'))) await delay(20);
    const url = fs.readFileSync(at('url'), 'utf8').trim();
    const file = `${url}/api/v1/ml-models/bert/v1/files/model.bin`;
    const start = Date.now();
    const env = { ...cliEnv, MSTORE_TOKEN };
    const pull = (name: string) =>
      startMstore(host, ['pull', 'bert@v1', '--to', name, '--remote', url], { env }).done;
    fs.writeFileSync(ws.at('other.bin'), xorshiftBytes(3, fileBytes / 2));
    await mstoreOk(ws.root, 'add', 'other.bin');
    const pushed = startMstore(ws.root, ['push', '--remote', url], { env }).done;
    const pulls = [pull('one'), pull('two')];
    const all = await Promise.allSettled(
      Array.from({ length: clients - pulls.length }, () => digestAt(file, MSTORE_TOKEN)),
    );
    const failures = all.filter(({ status }) => status === 'rejected');
    expect(failures).toEqual([]);
    expect(new Set(all.map((one) => (one.status === 'fulfilled' ? one.value : '')))).toEqual(
      new Set([digest]),
    );
    for (const result of [await pushed, ...(await Promise.all(pulls))]) {
      expect(result.code, result.stderr).toBe(0);
    }
    const pulled = createHash('sha256').update(fs.readFileSync(at('one/model.bin')));
    if (fileBytes < 2 ** 31) expect(pulled.digest('hex')).toBe(digest);
    const seconds = (Date.now() - start) / 1000;
    const memory = peakMemory(server.child.pid);
    const headers = { authorization: `Bearer ${MSTORE_TOKEN}` };
    const text = await (await fetch(`${url}/metrics`, { headers })).text();
    const numberOf = (name: string) => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1]);
    const [hits, misses] = [numberOf('mstore_cache_hits'), numberOf('mstore_cache_misses')];
    server.child.kill('SIGTERM');
    const ended = await server.done;
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stdout).not.toContain('"level":50');
    // What is read of the remote is what there is, in blocks of 4 MiB, and not 200 times as much.
    const blocks = fileBytes / (4 * mib);
    expect(misses).toBeLessThan(2 * blocks + 10);
    expect(hits).toBeGreaterThan(clients * blocks);
    if (memory !== undefined) expect(memory).toBeLessThan(1200);
    if (process.env['MSTORE_TEST_LOAD_MIB'] !== undefined) {
      process.stdout.write(`${JSON.stringify({ seconds, memory, hits, misses })}\n`);
    }
  }, 3_600_000);
});
