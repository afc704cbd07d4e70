import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import type { MstoreError } from '../../src/base/errors.ts';
import type { JsonObject } from '../../src/base/json.ts';
import { pullAlone } from '../../src/flow/pull-alone.ts';
import { seal } from '../../src/registry/sealed.ts';
import { makeHost } from '../support/resolving.ts';
import { tempFolder } from '../support/temp.ts';
import { makeTrusting, signersOf, type Trusting } from '../support/trusting.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

/** Two versions that are live in two environments, signed, with rules that ask for all of that. */
async function scene(): Promise<Trusting> {
  const ws = await makeTrusting();

  // Of several chunks, so that there are recipes.
  await ws.publish('v3', { 'big.bin': xorshiftBytes(3, 3_000_000), config: 'three' });
  await ws.publish('v4', { 'big.bin': xorshiftBytes(4, 3_000_000), config: 'four' });
  const rule = 'signers = ["alice"]\nmovers = ["alice"]';
  ws.rules(`${signersOf(ws, 'alice')}\n[trust.production]\n${rule}\n[trust.staging]\n${rule}`);
  await ws.sign('v3', 'alice');
  await ws.sign('v4', 'alice');
  await ws.deployAs('alice', 'v4');
  await ws.deployAs('alice', 'v3');
  await ws.deployAs('alice', 'v4', 'staging');
  return ws;
}

/** A copy of the remote that somebody who may write there has worked on. */
class Remote {
  readonly root = path.join(tempFolder(), 'remote');

  readonly #rules: string;

  constructor(ws: Trusting) {
    this.#rules = ws.at('.modelstore/config.toml');
    fs.cpSync(ws.remote, this.root, { recursive: true });
  }

  at(key: string): string {
    return path.join(this.root, key);
  }

  of(key: string): string {
    return this.at(`refs/models/bert/${key}`);
  }

  /** Files below a folder, the largest first. */
  files(folder: string): string[] {
    const found = fs.readdirSync(this.at(folder), { recursive: true, withFileTypes: true });
    const files = found.filter((one) => one.isFile());
    const full = files.map((one) => path.join(one.parentPath, one.name));
    return full.sort((a, b) => fs.statSync(b).size - fs.statSync(a).size);
  }

  write(file: string, bytes: string | Buffer): void {
    fs.rmSync(file, { force: true });
    fs.writeFileSync(file, bytes);
  }

  copy(from: string, to: string): void {
    this.write(to, fs.readFileSync(from));
  }

  swap(a: string, b: string): void {
    const [first, second] = [fs.readFileSync(a), fs.readFileSync(b)];
    this.write(a, second);
    this.write(b, first);
  }

  flip(file: string, at: number): void {
    const bytes = fs.readFileSync(file);
    const place = at < 0 ? bytes.length + at : at;
    bytes[place] = (bytes[place] as number) ^ 4;
    this.write(file, bytes);
  }

  /** Changes a byte of each file of a folder. */
  each(folder: string, at: number): void {
    for (const file of this.files(folder)) this.flip(file, at);
  }

  /** Changes a document and seals it again, as whoever knows the format can. */
  reseal(file: string, name: string, change: JsonObject): void {
    const object = JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, JsonObject>;
    const { sha256, value } = seal({ ...object[name], ...change });
    this.write(file, JSON.stringify({ ...object, sha256, [name]: value }, null, 2));
  }

  /** Has a host that knows the remote and its own rules pull what is live in production to a folder. */
  async pull(folder: string): Promise<void> {
    const { surroundings } = makeHost({ MSTORE_TRUST: this.#rules }, {});
    const directory = path.join(folder, 'bert');
    const pull = { reference: 'bert@production', remotes: [this.root], directory, cwd: folder };
    await pullAlone(pull, surroundings);
  }
}

const signed = 'refs/models/bert/signatures/v3';
const record = (version: string) => `versions/${version}.json`;
const entry = (environment: string, number: number) =>
  `environments/${environment}/0000000${number}.json`;

/** What is done to a remote, and the codes that may come of it. */
type Case = readonly [what: string, tamper: (remote: Remote) => void, codes: readonly string[]];

const registry: readonly Case[] = [
  ['a record with another byte', (r) => r.flip(r.of(record('v3')), -60), ['corrupt-registry']],
  [
    'a record of another version',
    (r) => r.copy(r.of(record('v4')), r.of(record('v3'))),
    ['corrupt-registry'],
  ],
  [
    'a record that says other content',
    (r) => r.reseal(r.of(record('v3')), 'record', { description: 'x' }),
    ['corrupt-registry'],
  ],
  [
    'a record and an entry that were both made anew',
    (r) => {
      r.reseal(r.of(record('v3')), 'record', { author: 'Mallory' });
      const { sha256 } = JSON.parse(fs.readFileSync(r.of(record('v3')), 'utf8')) as {
        sha256: string;
      };
      r.reseal(r.of(entry('production', 2)), 'entry', { record: sha256 });
    },
    ['untrusted'],
  ],
  ['no record', (r) => fs.rmSync(r.of(record('v3'))), ['corrupt-registry', 'unknown-version']],
  [
    'an entry of another version',
    (r) => r.reseal(r.of(entry('production', 2)), 'entry', { version: 'v4' }),
    ['untrusted', 'corrupt-registry'],
  ],
  [
    'an entry that was live before',
    (r) => r.copy(r.of(entry('production', 1)), r.of(entry('production', 2))),
    ['corrupt-registry'],
  ],
  [
    'an entry of another environment',
    (r) => r.copy(r.of(entry('staging', 1)), r.of(entry('production', 2))),
    ['corrupt-registry'],
  ],
  [
    'an entry that nobody signed behind the last one',
    (r) => {
      const last = r.of(entry('production', 2));
      const { sha256 } = JSON.parse(fs.readFileSync(last, 'utf8')) as { sha256: string };
      const next = r.of(entry('production', 3));
      r.copy(last, next);
      r.reseal(next, 'entry', { number: 3, previous: sha256, version: 'v4' });
    },
    ['untrusted', 'corrupt-registry'],
  ],
  ['a gap in the history', (r) => fs.rmSync(r.of(entry('production', 1))), ['corrupt-registry']],
];

const signatures: readonly Case[] = [
  [
    'a signature with another byte',
    (r) => r.flip(r.files(signed)[0] as string, 400),
    ['untrusted'],
  ],
  ['no signature', (r) => fs.rmSync(r.at(signed), { recursive: true }), ['untrusted']],
  [
    'the signature of another version under its own name',
    (r) => {
      const [other = ''] = r.files('refs/models/bert/signatures/v4');
      fs.rmSync(r.at(signed), { recursive: true });
      fs.mkdirSync(r.at(signed));
      r.copy(other, path.join(r.at(signed), path.basename(other)));
    },
    ['untrusted'],
  ],
  [
    'the signature of another version in its place',
    (r) =>
      r.copy(r.files('refs/models/bert/signatures/v4')[0] as string, r.files(signed)[0] as string),
    ['untrusted'],
  ],
];

const damaged = ['corrupt-pack', 'corrupt-chunk', 'corrupt-recipe', 'corrupt-remote'];
const data: readonly Case[] = [
  ['packs that changed places', (r) => r.swap(...two(r, 'packs')), damaged],
  ['packs with another byte', (r) => r.each('packs', 0), damaged],
  ['recipes that changed places', (r) => r.swap(...two(r, 'recipes')), damaged],
  ['recipes with another byte', (r) => r.each('recipes', 60), damaged],
  [
    'no recipes',
    (r) => fs.rmSync(r.at('recipes'), { recursive: true }),
    ['objects-missing', ...damaged],
  ],
];

const header: readonly Case[] = [
  ['no header', (r) => fs.rmSync(r.at('mstore.json')), ['not-a-remote', 'corrupt-remote']],
  [
    'a header that is none',
    (r) => r.write(r.at('mstore.json'), '{'),
    ['corrupt-remote', 'not-a-remote', 'corrupt-store'],
  ],
  [
    'a header of a later format',
    (r) => r.write(r.at('mstore.json'), '{"mstore":99}'),
    ['newer-format'],
  ],
  [
    'a header that says it is encrypted',
    (r) => {
      const value = JSON.parse(fs.readFileSync(r.at('mstore.json'), 'utf8')) as JsonObject;
      const encryption = { format: 1, key: '0'.repeat(32) };
      r.write(r.at('mstore.json'), JSON.stringify({ ...value, encryption }));
    },
    ['wrong-key', 'corrupt-remote', 'newer-format', 'not-a-remote'],
  ],
];

function two(remote: Remote, folder: string): [string, string] {
  return remote.files(folder).slice(0, 2) as [string, string];
}

it('is refused with the right code, wherever somebody tampered with a remote, and nothing is written', async () => {
  const ws = await scene();
  const folder = tempFolder();
  await new Remote(ws).pull(folder);
  expect(fs.readFileSync(path.join(folder, 'bert/config'), 'utf8')).toBe('three');
  // A pack says itself what is in it: indexes that lie are passed over.
  const healed = new Remote(ws);
  healed.swap(...two(healed, 'index'));
  await healed.pull(tempFolder());
  const found: unknown[] = [];
  const expected: unknown[] = [];
  for (const [what, tamper, codes] of [...registry, ...signatures, ...data, ...header]) {
    const remote = new Remote(ws);
    tamper(remote);
    const place = tempFolder();
    const code = await remote.pull(place).then(
      () => 'taken',
      (error: MstoreError) => error.code,
    );
    found.push([what, codes.includes(code as string) ? 'refused' : code, fs.readdirSync(place)]);
    expected.push([what, 'refused', []]);
  }
  expect(found).toEqual(expected);
});
