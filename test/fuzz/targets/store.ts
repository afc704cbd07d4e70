import * as fs from 'node:fs';
import * as path from 'node:path';
import {
  digestBytes,
  digestFromRaw,
  digestToRaw,
  sha256,
  sha256Raw,
} from '../../../src/base/digest.ts';
import type { ErrorCode } from '../../../src/base/errors.ts';
import { formatTree, parseTree } from '../../../src/base/tree.ts';
import { ChunkEncoder, decodeBytes } from '../../../src/pack/codec.ts';
import {
  chunkBytesMax,
  encodingName,
  encodingNumber,
  FooterBuilder,
  type PackFooter,
  parseFooter,
  trailerBytes,
} from '../../../src/pack/format.ts';
import { readChunk, readPackFooter } from '../../../src/pack/reader.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { cleanUpId, formatMark, type Mark, parseMark } from '../../../src/store/clean-up.ts';
import { parseHeader } from '../../../src/store/header.ts';
import { digestInKey } from '../../../src/store/keys.ts';
import { formatRecipe, parseRecipe } from '../../../src/store/recipe.ts';
import {
  formatRoot,
  type NewRootRecord,
  readRoot,
  repositoryOfRoot,
  rootKey,
} from '../../../src/store/roots.ts';
import { checkPointerName, formatPointer, parsePointer } from '../../../src/worktree/pointer.ts';
import { frozenChunks } from '../../support/encoded-chunks.ts';
import { format1Folder } from '../../support/format-1.ts';
import { naiveDecode } from '../../support/naive-decoder.ts';
import { asFile, type FuzzTarget, Parts, promise, refused, refusedLater, same } from '../target.ts';

/** Reads the frozen files of format 1 whose names end so, those that are small. */
function frozen(suffix: string, bytesMax = 64 * 1024): Record<string, Uint8Array> {
  const files = fs.readdirSync(format1Folder, { recursive: true, withFileTypes: true });
  const found = files
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix))
    .map((entry) => fs.readFileSync(path.join(entry.parentPath, entry.name)))
    .filter(({ length }) => length <= bytesMax);
  return Object.fromEntries(found.map((bytes, i) => [String(i), bytes]));
}

const pointerCodes: readonly ErrorCode[] = ['corrupt-pointer', 'merge-conflict', 'newer-format'];

export const pointer: FuzzTarget = {
  name: 'pointer',
  bytesMax: 64 * 1024,
  seeds: () => ({
    ...frozen('.pointer', 4096),
    extra:
      '{"mstore":1,"path":"a","kind":"file","sha256":"' +
      '0'.repeat(64) +
      '","size":1,"x":{"y":[1]}}',
    conflict: '<<<<<<< HEAD\n{"mstore":1}\n=======\n{}\n>>>>>>> topic\n',
  }),
  words: [
    '"mstore"',
    '"path"',
    '"kind"',
    '"tree"',
    '"file"',
    '"files"',
    '"sha256"',
    '"executable"',
  ],
  run(bytes) {
    const parsed = refused(pointerCodes, () => parsePointer(bytes, 'models/bert.mstore'));
    if (parsed === undefined) return;
    refused(pointerCodes, () => checkPointerName(parsed, 'models/bert.mstore'));
    const text = formatPointer(parsed);
    const again = parsePointer(Buffer.from(text), 'again');
    same(withoutSign(again), withoutSign(parsed), 'a pointer that is written and read is the same');
    same(formatPointer(again), text, 'a pointer has one form');
  },
};

/** The zero of JSON has a sign, which means nothing. */
function withoutSign(value: object): unknown {
  return JSON.parse(JSON.stringify(value), (_, one: unknown) => (one === 0 ? 0 : one));
}

export const tree: FuzzTarget = {
  name: 'tree',
  bytesMax: 64 * 1024,
  seeds: () => ({
    empty: '[]',
    kinds:
      '[{"path":"cache","directory":true},{"path":"latest","link":"run.sh"},' +
      `{"path":"run.sh","size":20,"sha256":"${'a1'.repeat(32)}","executable":true}]`,
    links: '[{"path":"a/b","link":"../c"},{"path":"c","link":"a/./d"}]',
    names: `[{"path":"Ω/ß.txt","size":1,"sha256":"${'0'.repeat(64)}"},{"path":"ﬁ","link":"Ω"}]`,
  }),
  words: ['{"path":"', '","link":"', '"directory":true', '../', 'a/b/c/d', '.git', 'ı', 'İ'],
  run(bytes) {
    const entries = refused(['corrupt-tree'], () => parseTree(bytes));
    if (entries === undefined) return;
    promise(formatTree(entries).equals(bytes), 'a tree is written to the bytes it was read from');
  },
};

export const header: FuzzTarget = {
  name: 'header',
  bytesMax: 64 * 1024,
  seeds: () => frozen('mstore.json'),
  words: ['"mstore"', '"id"', '"encryption"', '"chunking"'],
  run(bytes) {
    refused(['corrupt-store', 'newer-format'], () => parseHeader(bytes, 'there'));
  },
};

const packCodes: readonly ErrorCode[] = ['corrupt-pack', 'newer-format'];

const rootCodes: readonly ErrorCode[] = ['corrupt-remote', 'newer-format'];
const kept: NewRootRecord = {
  repository: '0f'.repeat(16),
  created: '2026-11-21T10:00:00.000Z',
  forVersions: true,
  items: [{ path: 'models/bert', kind: 'tree', sha256: sha256('tree'), size: 5 }],
};
const keptAt = rootKey(kept);

export const rootRecord: FuzzTarget = {
  name: 'root-record',
  bytesMax: 64 * 1024,
  seeds: () => ({ versions: formatRoot(kept), plain: formatRoot({ ...kept, forVersions: false }) }),
  words: ['"mstore"', '"repository"', '"created"', '"purpose"', '"paths"', '"kind"'],
  async run(bytes) {
    repositoryOfRoot(bytes.toString());
    const remote = memoryRemote('memory://fuzz');
    await remote.create(keptAt, bytesSource(bytes));
    const record = await refusedLater(rootCodes, () => readRoot(remote, keptAt));
    if (record === undefined) return;
    const text = formatRoot(record);
    const other = memoryRemote('memory://fuzz');
    await other.create(keptAt, bytesSource(text));
    same(formatRoot(await readRoot(other, keptAt)), text, 'a record has one form');
  },
};

const mark: Mark = {
  id: cleanUpId('2026-11-21T10:00:00.000Z', '0f'.repeat(4)),
  created: '2026-11-21T10:00:00.000Z',
  reason: 'Nothing needs them',
  graceMs: 1000,
  bytes: 5,
  policy: { last: 3, withinMs: 1000, tags: ['v*'] },
  packs: [sha256('pack')],
  indexes: [sha256('pack')],
  recipes: [sha256('recipe')],
  roots: [keptAt],
};

export const cleanUpMark: FuzzTarget = {
  name: 'clean-up-mark',
  bytesMax: 64 * 1024,
  seeds: () => ({ mark: formatMark(mark) }),
  words: ['"mstore"', '"packs"', '"roots"', '"keep"', '"grace_ms"', '"forget"'],
  run(bytes) {
    const parsed = refused(rootCodes, () => parseMark(bytes, 'there'));
    if (parsed === undefined) return;
    const text = formatMark(parsed);
    same(formatMark(parseMark(text, 'there')), text, 'a mark has one form');
  },
};

export const packFooter: FuzzTarget = {
  name: 'pack-footer',
  bytesMax: 64 * 1024,
  seeds: () => ({ ...frozen('.idx', 8192), none: new FooterBuilder().finish().bytes }),
  words: ['MSTOREFT'],
  run(bytes) {
    refused(packCodes, () => parseFooter(bytes, sha256('another')));
    const footer = refused(packCodes, () => parseFooter(bytes));
    if (footer === undefined) return;
    promise(footer.id === sha256(bytes), 'a footer is named by its digest');
    const builder = new FooterBuilder();
    for (let row = 0; row < footer.count; row++) {
      builder.add(digestToRaw(footer.chunk(row)), footer.row(row));
    }
    promise(
      builder.finish().bytes.equals(bytes),
      'a footer is written to the bytes it was read from',
    );
  },
};

/** Gives a pack the trailer that its footer asks for, so that what is behind it is reached. */
function withTrailer(bytes: Buffer): Buffer {
  if (bytes.length < trailerBytes) return bytes;
  const length = Number(bytes.readBigUInt64LE(bytes.length - 40));
  const start = bytes.length - trailerBytes - length;
  if (start < 0) return bytes;
  const sealed = Buffer.from(bytes);
  sha256Raw(sealed.subarray(start, start + length)).copy(sealed, sealed.length - digestBytes);
  return sealed;
}

/** Rows of one pack that are decoded. */
const rowsRead = 16;

function readRows(bytes: Buffer, footer: PackFooter): void {
  for (let number = 0; number < Math.min(footer.count, rowsRead); number++) {
    const row = footer.row(number);
    const stored = bytes.subarray(row.offset, row.offset + row.storedLength);
    const at = footer.idOffset(number);
    const raw = refused(['corrupt-chunk', 'newer-format'], () =>
      readChunk(stored, row, footer.bytes, at, 'the pack'),
    );
    if (raw !== undefined) same(sha256(raw), footer.chunk(number), 'a chunk is what its id says');
  }
}

export const packFile: FuzzTarget = {
  name: 'pack-file',
  bytesMax: 256 * 1024,
  seeds: () => ({ encodings: encodingsPack(), ...frozen('.pack', 130_000) }),
  words: ['MSTOREPK', 'MSTOREFT'],
  run(bytes) {
    for (const given of [bytes, withTrailer(bytes)]) {
      const file = asFile('given.pack', given);
      const footer = refused(packCodes, () => readPackFooter(file));
      if (footer !== undefined) readRows(given, footer);
    }
  },
};

/** A pack of one small chunk in each encoding. */
function encodingsPack(): Buffer {
  const encoder = new ChunkEncoder();
  const builder = new FooterBuilder();
  const stored: Buffer[] = [];
  let offset = 0;
  for (const { raw } of frozenChunks().slice(0, 4)) {
    const { bytes, form } = encoder.encode(raw.subarray(0, 2000));
    const copy = Buffer.from(bytes);
    builder.add(sha256Raw(raw.subarray(0, 2000)), { ...form, offset, storedLength: copy.length });
    stored.push(copy);
    offset += copy.length;
  }
  const footer = builder.finish();
  return Buffer.concat([...stored, footer.bytes, footer.trailer()]);
}

/** Inputs of {@link chunk}: the number of the encoding, the raw length, the stored bytes. */
function chunkInput(encoding: number, rawLength: number, stored: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head[0] = encoding;
  head.writeUInt32LE(rawLength, 1);
  return Buffer.concat([head, stored]);
}

export const chunk: FuzzTarget = {
  name: 'chunk',
  bytesMax: 64 * 1024,
  seeds: () => {
    const encoder = new ChunkEncoder();
    const inputs = frozenChunks().map(({ raw }) => {
      const { bytes, form } = encoder.encode(raw.subarray(0, 3000));
      return chunkInput(form.encoding, form.rawLength, Buffer.from(bytes));
    });
    return Object.fromEntries(inputs.map((bytes, i) => [String(i), bytes]));
  },
  run(bytes) {
    const parts = new Parts(bytes);
    const name = encodingName(parts.byte() % 5);
    // A footer lets no chunk be longer.
    const rawLength = parts.u32() % (Math.min(chunkBytesMax, 256 * 1024) + 1);
    const stored = parts.rest();
    if (name === undefined) return;
    const raw = decodeBytes(stored, name, rawLength);
    if (raw === undefined) return;
    promise(raw.length === rawLength, 'a chunk has the length of its row');
    const naive = naiveDecode(stored, encodingNumber(name), rawLength);
    promise(naive.equals(raw), 'a chunk is decoded as the format page says');
  },
};

export const encodedChunk: FuzzTarget = {
  name: 'encoded-chunk',
  bytesMax: 64 * 1024,
  seeds: () =>
    Object.fromEntries(frozenChunks().map(({ raw }, i) => [String(i), raw.subarray(0, 4000)])),
  run(bytes) {
    const { bytes: stored, form } = encoder.encode(bytes);
    const name = encodingName(form.encoding);
    promise(name !== undefined, 'a chunk is stored in an encoding that is known');
    const raw = decodeBytes(stored, name, form.rawLength);
    promise(raw !== undefined && Buffer.compare(raw, bytes) === 0, 'what is encoded is decoded');
  },
};

const encoder = new ChunkEncoder();

export const recipe: FuzzTarget = {
  name: 'recipe',
  bytesMax: 64 * 1024,
  seeds: () => {
    const folder = path.join(format1Folder, 'remote/recipes');
    const names = fs.readdirSync(folder, { recursive: true }).map(String);
    const files = names.filter((name) => name.length > 60);
    return Object.fromEntries(
      files.map((name, i) => [String(i), fs.readFileSync(path.join(folder, name))]),
    );
  },
  words: ['MSTORERC'],
  run(bytes) {
    const codes = ['corrupt-recipe', 'newer-format'] as const;
    refused(codes, () => parseRecipe(bytes, sha256('another')));
    const body = bytes.subarray(0, Math.max(0, bytes.length - digestBytes));
    const blob = bytes.length < 56 ? sha256('') : digestFromRaw(bytes, 24);
    for (const given of [bytes, Buffer.concat([body, sha256Raw(body)])]) {
      const parsed = refused(codes, () => parseRecipe(given, blob));
      if (parsed === undefined) continue;
      promise(
        formatRecipe(parsed).equals(given),
        'a recipe is written to the bytes it was read from',
      );
    }
  },
};

export const objectKey: FuzzTarget = {
  name: 'object-key',
  bytesMax: 1024,
  seeds: () => ({
    pack: `packs/ab/${'ab'.repeat(32)}.pack`,
    index: `index/ab/${'ab'.repeat(32)}.idx`,
    recipe: `recipes/ab/${'ab'.repeat(32)}`,
  }),
  words: ['.pack', '.idx', '/'],
  run(bytes) {
    const key = bytes.toString();
    for (const suffix of ['.pack', '.idx', '']) {
      const digest = digestInKey(key, suffix);
      if (digest === undefined) continue;
      promise(/^[0-9a-f]{64}$/.test(digest), 'a key holds a digest');
      promise(key.includes(digest), 'the digest of a key stands in it');
    }
  },
};
