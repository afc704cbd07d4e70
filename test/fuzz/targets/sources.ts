import * as fs from 'node:fs';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import type { ErrorCode } from '../../../src/base/errors.ts';
import { unpackArchive } from '../../../src/flow/import/archive.ts';
import type { HttpAnswer } from '../../../src/remote/http-exchange.ts';
import { Web } from '../../../src/source/http.ts';
import { openHub } from '../../../src/source/hub.ts';
import { checkListing, type Snapshot } from '../../../src/source/snapshot.ts';
import { paxRecord, rawTar } from '../../support/packages.ts';
import { zipFile } from '../../support/zip.ts';
import {
  asFile,
  type FuzzTarget,
  fuzzFolder,
  joined,
  Parts,
  promise,
  refusedLater,
} from '../target.ts';

const listingCodes: readonly ErrorCode[] = [
  'corrupt-source',
  'not-found',
  'remote-refused',
  'remote-unreachable',
];
const commit = '5'.repeat(40);
const home = new URL('https://hub.test');

/** Answers with the parts of an input: of each a status, the header `link`, and a body. */
class ScriptedWeb extends Web {
  readonly #parts: Parts;
  readonly asked: URL[] = [];

  constructor(parts: Parts) {
    super({ triesMax: 2, sleep: async () => {} });
    this.#parts = parts;
  }

  override async send(url: URL): Promise<HttpAnswer> {
    this.asked.push(url);
    const status = 200 + this.#parts.byte();
    const headers: Record<string, string> = {
      link: this.#header(),
      'x-error-code': this.#header(),
    };
    const body = this.#parts.part();
    return {
      status,
      header: (name) => headers[name] || undefined,
      body: (async function* () {
        yield body;
      })(),
      close() {},
    };
  }

  /** What HTTP lets pass. */
  #header(): string {
    const text = this.#parts.part().toString('latin1');
    return text.replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, '').trim();
  }
}

const answer = (body: unknown, { link = '', status = 200, code = '' } = {}): Buffer =>
  Buffer.concat([
    Buffer.from([status - 200]),
    joined(link, code, JSON.stringify(body)),
    Buffer.alloc(1),
  ]);

const lfs = { oid: 'a'.repeat(64), size: 4096, pointerSize: 130 };
const entries = [
  { type: 'file', path: 'config.json', size: 12, oid: 'b'.repeat(40) },
  { type: 'directory', path: 'onnx', size: 0, oid: 'c'.repeat(40) },
  { type: 'file', path: 'onnx/model.onnx', size: 4096, oid: 'd'.repeat(40), lfs },
];
const more = [{ type: 'file', path: 'vocab.txt', size: 3, oid: 'e'.repeat(40) }];
const next = `<${home.href}api/models/org/m/tree/${commit}?cursor=2>; rel="next"`;

export const hubListing: FuzzTarget = {
  name: 'hub-listing',
  bytesMax: 16 * 1024,
  seeds: () => ({
    page: Buffer.concat([answer({ sha: commit }), answer(entries)]),
    pages: Buffer.concat([answer({ sha: commit }), answer(entries, { link: next }), answer(more)]),
    absent: answer({ error: 'no' }, { status: 404, code: 'RepoNotFound' }),
  }),
  words: ['"sha"', '"type":"file"', '"path"', '"oid"', '"lfs"', '../', 'rel="next"', commit],
  async run(bytes) {
    const web = new ScriptedWeb(new Parts(bytes));
    const place = { endpoint: home, token: 'secret', cache: fuzzFolder() };
    const model = { repository: 'org/m', revision: 'main' };
    const found = await refusedLater(listingCodes, async () => {
      const snapshot = await openHub(model, place, web, undefined);
      checkListing(snapshot);
      return snapshot;
    });
    // An answer that is used up is one without a body, which ends every listing.
    promise(web.asked.length <= bytes.length + 4, 'a listing ends with what the Hub sends');
    if (found === undefined) return;
    promise(/^hf:org\/m@[0-9a-f]{40}$/.test(found.reference), 'a snapshot is of one commit');
    for (const file of found.files) {
      promise(
        file.sha256 !== undefined || file.gitBlob !== undefined,
        'of every file the Hub tells a digest',
      );
      const cached = found.localCopy?.(file);
      promise(
        cached === undefined || cached.startsWith(fuzzFolder() + path.sep),
        'a copy is looked for in the cache alone',
      );
    }
  },
};

export const foreignArchive: FuzzTarget = {
  name: 'foreign-archive',
  bytesMax: 64 * 1024,
  seeds: () => {
    const file = { name: './model/a.bin', bytes: 'one' };
    const folder = { name: 'model/empty/', type: '5', bytes: '' };
    const pax = { name: 'p', type: 'x', bytes: paxRecord('path', 'model/long name') };
    return {
      plain: rawTar([folder, file]),
      pax: rawTar([file, pax, { ...file, name: 'x' }]),
      packed: gzipSync(rawTar([file])),
    };
  },
  words: ['ustar', './', '../', ' path=', ' size=', ' linkpath='],
  run: (bytes) => unpacked('foreign.tar', bytes),
};

/** A zip archive of an address. */
export const foreignZip: FuzzTarget = {
  name: 'foreign-zip',
  bytesMax: 64 * 1024,
  seeds: () => {
    const members = ['model/a.bin', 'model/empty/', 'b'].map((name, i) => ({
      name,
      bytes: Buffer.from(name.endsWith('/') ? '' : 'one'.repeat(i + 1)),
    }));
    const streamed = new URL('../../fixtures/web/streamed.zip', import.meta.url);
    return {
      plain: zipFile(members),
      wide: zipFile(members, { wide: true, comment: 'c' }),
      packed: fs.readFileSync(streamed),
    };
  },
  words: ['PK\x01\x02', 'PK\x03\x04', 'PK\x05\x06', 'PK\x06\x06', '../', '/'],
  run: (bytes) => unpacked('foreign.zip', bytes),
};

/** Unpacks an archive: all of it is in its folder, under numbers, or it is refused. */
async function unpacked(name: string, bytes: Buffer): Promise<void> {
  const archive = asFile(name, bytes);
  const top = path.join(fuzzFolder(), 'unpacked');
  const folder = path.join(top, 'inside');
  fs.rmSync(top, { recursive: true, force: true });
  const reference = `https://a.test/${name}`;
  const files = [{ path: name, size: bytes.length }];
  const whole = { reference, facts: {}, files } as unknown as Snapshot;
  const found = await refusedLater(['corrupt-source', 'corrupt-package'], async () => {
    const snapshot = await unpackArchive(whole, archive, folder, undefined);
    checkListing(snapshot);
    return snapshot;
  });
  promise(fs.readdirSync(top).join() === 'inside', 'nothing is written beside the folder');
  for (const inside of fs.readdirSync(folder)) {
    promise(/^\d+$/.test(inside), 'nothing of an archive says where it is written');
  }
  for (const file of found?.files ?? []) {
    const place = found?.localCopy?.(file);
    promise(place !== undefined, 'every file was written');
    promise(fs.statSync(place).size === file.size, 'a file has as many bytes as it says');
  }
}
