import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { gitFailure } from '../../src/git/process.ts';
import { filesBelow, makeWorkspace, startMstore } from '../support/cli.ts';
import { mstoreHere } from '../support/cli-printed.ts';
import { git, tempFolder } from '../support/git.ts';

const secret = 's3cr3t-t0ken';

/** Variables in which tools and continuous integration hand over secrets. */
const env = {
  AWS_ACCESS_KEY_ID: `AKIA-${secret}`,
  AWS_SECRET_ACCESS_KEY: secret,
  AWS_SESSION_TOKEN: secret,
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_EC2_METADATA_DISABLED: 'true',
  HF_TOKEN: secret,
  MLFLOW_TRACKING_PASSWORD: secret,
  MLFLOW_TRACKING_TOKEN: secret,
  MSTORE_TOKEN: `mst_${secret}`,
  MSTORE_PASSPHRASE: secret,
  GITHUB_TOKEN: secret,
  GOOGLE_APPLICATION_CREDENTIALS: `/nowhere/${secret}`,
};

describe('secrets', () => {
  it('of the environment and of URLs are in nothing that is printed, kept or sent', async () => {
    const ws = await makeWorkspace();
    ws.write('model.bin', 'model');
    await ws.add('model.bin');
    git(
      ws.root,
      'remote',
      'add',
      'origin',
      `https://user:${secret}@example.com/x.git?token=${secret}`,
    );
    git(ws.root, 'add', '-A');
    git(ws.root, 'commit', '-q', '-m', 'All');
    fs.appendFileSync(
      ws.at('.modelstore/config.toml'),
      `\n[remote.bad]\nurl = "s3://user:${secret}@bucket/x"\n\n[remote.other]\nurl = "s3://bucket/x"\nendpoint = "http://127.0.0.1:9"\n`,
    );
    const lines = [
      ['register', 'ranker@v1', 'model.bin', '-v'],
      ['push', '-v'],
      ['show', 'ranker@v1', '-v'],
      ['status', '-v'],
      ['config', 'list'],
      ['config', 'get', 'remote.bad.url'],
      ['config', 'set', 'remote.other.endpoint', `https://user:${secret}@host`],
      ['remote', 'list'],
      ['remote', 'add', 'more', `https://user:${secret}@host/x`],
      ['remote', 'add', 'bad', 's3://bucket/y', '--no-create'],
      ['push', '--remote', 'bad', '-v'],
      ['fetch', '--remote', 'bad', '-v'],
      ['remote', 'check', 'bad', '-v'],
      ['remote', 'check', `s3://user:${secret}@bucket/x`, '-v'],
      ['remote', 'check', 'other', '-v'],
      ['pull', 'ranker@v1', '--remote', `gs://user:${secret}@bucket`, '--to', 'x', '-v'],
      ['registry', 'export'],
      ['deploy', 'ranker@v1', '--env', 'live', '-v'],
      ['audit', '--check', '-v'],
      ['audit', '--jsonl'],
      ['remote', 'policy', 'other', '--role', 'reader', '-v'],
      ['remote', 'check', 'http://127.0.0.1:9', '-v'],
      ['remote', 'check', 'other', '--as', 'publisher', '-v'],
    ];
    for (const line of lines) {
      for (const more of [[], ['--json']]) {
        const { stdout, stderr } = await mstoreHere(ws.root, [...line, ...more], env);
        expect(stdout + stderr, [...line, ...more].join(' ')).not.toContain(secret);
      }
    }
    const shown = await ws.ok('show', 'ranker@v1', '--json');
    expect(JSON.parse(shown.stdout)).toMatchObject({
      record: { source: { git: { remote: 'https://example.com/x.git' } } },
    });
    for (const file of [
      ...filesBelow(ws.remote),
      ...filesBelow(path.join(ws.root, '.modelstore')),
    ]) {
      if (path.basename(file) === 'config.toml') continue;
      expect(fs.readFileSync(file, 'latin1'), file).not.toContain(secret);
    }
  });

  it('are in the arguments of no program that is started', async () => {
    const ws = await makeWorkspace();
    ws.write('model.bin', 'model');
    await ws.add('model.bin');
    git(ws.root, 'add', '-A');
    git(ws.root, 'commit', '-q', '-m', 'All');
    // What lists of processes show: a Git that writes its arguments down, and does what it is told.
    const programs = tempFolder();
    const log = path.join(programs, 'arguments');
    const real = execFileSync('sh', ['-c', 'command -v git']).toString().trim();
    const script = `#!/bin/sh\nprintf '%s\\n' "$@" >> '${log}'\nexec '${real}' "$@"\n`;
    fs.writeFileSync(path.join(programs, 'git'), script, { mode: 0o755 });
    const withPath = { ...env, PATH: `${programs}${path.delimiter}${process.env['PATH']}` };
    for (const line of [
      ['register', 'ranker@v1.0.0', 'model.bin', '--git-tag'],
      ['push', '--all-versions'],
      ['deploy', 'ranker@v1.0.0', '--env', 'live', '--git-tag'],
      ['audit', '--check'],
      ['gc', '--remote'],
    ]) {
      const { code, stderr } = await startMstore(ws.root, line, { env: withPath }).done;
      expect(code, stderr).toBe(0);
      expect(stderr).not.toContain(secret);
    }
    const seen = fs.readFileSync(log, 'utf8');
    expect(seen.split('\n').length).toBeGreaterThan(10);
    expect(seen).not.toContain(secret);
    for (const file of filesBelow(ws.remote)) {
      expect(fs.readFileSync(file, 'latin1'), file).not.toContain(secret);
    }
  });

  it('that a service says back are left out of what is shown', async () => {
    const ws = await makeWorkspace();
    const server = http.createServer((request, response) => {
      const message = `You sent ${JSON.stringify(request.headers)}`;
      response.writeHead(400, { 'content-type': 'application/json', 'mstore-protocol': '1' });
      response.end(JSON.stringify({ error: { code: 'bad-input', message, hint: message } }));
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      for (const more of [[], ['--json']]) {
        const args = ['fetch', '--remote', url, '-v', ...more];
        const { code, stdout, stderr } = await startMstore(ws.root, args, { env }).done;
        expect(code).not.toBe(0);
        expect(stdout + stderr).not.toContain(secret);
      }
    } finally {
      server.close();
    }
  });

  it('in what Git says of a URL are left out of its error', () => {
    const said = [
      `fatal: unable to access 'https://user:${secret}@example.com/x.git/': 403`,
      `error: https://${secret}@example.com refused; ssh://git:${secret}@host`,
    ];
    for (const line of said) {
      const error = gitFailure('fetch', 128, line, '/x');
      expect(error.message).not.toContain(secret);
      expect(error.message).toContain('…@');
    }
  });
});

describe('TLS', () => {
  it('is checked by all that is sent: nothing in the source turns that off', () => {
    const top = path.resolve(import.meta.dirname, '../../src');
    for (const file of filesBelow(top)) {
      expect(fs.readFileSync(file, 'utf8'), file).not.toMatch(
        /rejectUnauthorized|NODE_TLS_REJECT_UNAUTHORIZED|checkServerIdentity|strictSSL|insecure/,
      );
    }
  });
});
