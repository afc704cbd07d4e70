import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Digest, sha256 } from '../../src/base/digest.ts';
import { decodeBytes } from '../../src/pack/codec.ts';
import { type Encoding, encodingName, encodingNumber } from '../../src/pack/format.ts';
import { readChunk, readPackFooter } from '../../src/pack/reader.ts';
import { PackWriter } from '../../src/pack/writer.ts';
import { BlobReader } from '../../src/store/blob-reader.ts';
import { packKey } from '../../src/store/keys.ts';
import { Store } from '../../src/store/local-store.ts';
import { encodingsFolder, frozenChunks } from '../support/encoded-chunks.ts';
import { makePlainProject } from '../support/flow-project.ts';
import { filesBelow } from '../support/format-1.ts';
import { naiveDecode } from '../support/naive-decoder.ts';
import { codeSpans, tableRows } from '../support/page-checks.ts';
import { tempFolder } from '../support/temp.ts';

const remote = path.join(encodingsFolder, 'remote');
const pack = 'edacae8b9f15317f44cc2525ea1d445fcf93cf741c98a0dda780c06f5b82bda2' as Digest;
const blob = '86fb7c894c69482fdd2147afbd3953bc8023ff55ca6580aade6763178a091d21' as Digest;
const file = path.join(remote, packKey(pack));
const chunks = frozenChunks();
const whole = Buffer.concat(chunks.map(({ raw }) => raw));

describe('the fixture of all encodings', () => {
  it('is the one that was frozen', () => {
    const files = [...filesBelow(encodingsFolder)];
    const lines = files.map(([name, bytes]) => `${sha256(bytes)}  ${name}\n`);
    expect(sha256(lines.join(''))).toBe(
      'd2d747b59894b5ebf1f30ef66f804d372abaa7380522f684f83861dac08b0099',
    );
    expect(sha256(whole)).toBe(blob);
  });

  it('holds chunks in each encoding of format 1, which decode to what they were', () => {
    const footer = readPackFooter(file);
    const bytes = fs.readFileSync(file);
    const names = new Set<string>();
    expect(footer.count).toBe(chunks.length);
    for (const [number, { encoding, raw }] of chunks.entries()) {
      const row = footer.row(number);
      const stored = bytes.subarray(row.offset, row.offset + row.storedLength);
      const read = readChunk(stored, row, footer.bytes, footer.idOffset(number), file);
      expect(Buffer.compare(read, raw), `chunk ${number}`).toBe(0);
      expect(naiveDecode(stored, row.encoding, row.rawLength).equals(raw)).toBe(true);
      expect(encodingName(row.encoding)).toBe(encoding);
      names.add(encoding);
    }
    expect([...names].sort()).toEqual(['deflate', 'planes2', 'planes4', 'raw']);
  });

  it('is written again byte for byte from the stored bytes', () => {
    const footer = readPackFooter(file);
    const bytes = fs.readFileSync(file);
    const again = path.join(tempFolder(), 'again.pack');
    const writer = new PackWriter(again);
    for (let number = 0; number < footer.count; number++) {
      const row = footer.row(number);
      const stored = bytes.subarray(row.offset, row.offset + row.storedLength);
      writer.append(Buffer.from(footer.chunk(number), 'hex'), stored, row);
    }
    expect(writer.finish().id).toBe(pack);
    expect(fs.readFileSync(again).equals(bytes)).toBe(true);
  });

  it('is read as a store', () => {
    const folder = path.join(tempFolder(), 'store');
    fs.cpSync(remote, folder, { recursive: true });
    const reader = new BlobReader(new Store(folder));
    expect(reader.readWhole(blob, 1e9).equals(whole)).toBe(true);
    reader.close();
  });

  it('is fetched, checked out and pushed on', async () => {
    const project = await makePlainProject();
    const pointer = path.join(encodingsFolder, 'v1/models/encoded.bin.pointer');
    project.write('models/encoded.bin.mstore', fs.readFileSync(pointer));
    await project.fetch([], remote);
    await project.checkout();
    expect(project.read('models/encoded.bin').equals(whole)).toBe(true);
    fs.mkdirSync(project.at('other'));
    fs.copyFileSync(path.join(remote, 'mstore.json'), project.at('other/mstore.json'));
    await project.push([], './other');
    expect(fs.readFileSync(project.at(`other/${packKey(pack)}`))).toEqual(fs.readFileSync(file));
  });
});

describe('the chapter on encodings', () => {
  const page = fs.readFileSync(new URL('../../docs/format.md', import.meta.url), 'utf8');

  it('has examples of each that decode', () => {
    const rows = tableRows(page, ['encoding', 'raw bytes', 'stored bytes']);
    expect(rows.map(([name]) => name)).toEqual(['`deflate`', '`planes2`', '`planes4`']);
    for (const [name = '', rawHex = '', storedHex = ''] of rows) {
      const encoding = codeSpans(name)[0] as Encoding;
      const raw = Buffer.from(codeSpans(rawHex).join(''), 'hex');
      const stored = Buffer.from(codeSpans(storedHex).join(''), 'hex');
      expect(stored.length).toBeLessThan(raw.length);
      expect(decodeBytes(stored, encoding, raw.length)?.toString()).toBe(raw.toString());
      expect(naiveDecode(stored, encodingNumber(encoding), raw.length).equals(raw)).toBe(true);
    }
  });

  it('gives the numbers of all', () => {
    const rows = tableRows(page, ['number', 'name', 'stored bytes']);
    const listed = rows.map(([number, name = '']) => [Number(number), codeSpans(name)[0]]);
    expect(listed).toEqual([0, 1, 2, 3].map((number) => [number, encodingName(number)]));
    expect(encodingName(4)).toBeUndefined();
  });
});
