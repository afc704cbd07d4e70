import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Chunker } from '../../src/chunk/chunker.ts';
import { formatHeader } from '../../src/store/header.ts';
import { ggufBlocks } from '../../src/weights/gguf.ts';
import { hardCutRules } from '../../src/weights/hard-cuts.ts';
import { format1Folder, format1Surroundings, withFrozenCuts } from '../support/format-1.ts';
import { naiveCuts } from '../support/naive-chunker.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const document = fs.readFileSync(new URL('../../docs/format.md', import.meta.url), 'utf8');

function blocks(language: string): Array<{ about: string; text: string }> {
  const pattern = new RegExp(`^\`\`\`${language}(?: (.*))?\n([^]*?)^\`\`\`$`, 'gm');
  return [...document.matchAll(pattern)].map(([, about = '', text = '']) => ({ about, text }));
}

describe('docs/format.md', () => {
  it.each(blocks('hex'))('shows the bytes of $about', ({ about, text }) => {
    const bytes = fs.readFileSync(path.join(format1Folder, 'remote', about));
    for (const line of text.trimEnd().split('\n')) {
      const [, at = '', hex = ''] = /^([0-9a-f]{8}): ((?:[0-9a-f]{4} ?)+)/.exec(line) ?? [];
      const shown = hex.replaceAll(' ', '');
      const offset = Number.parseInt(at, 16);
      expect(bytes.toString('hex', offset, offset + shown.length / 2), line).toBe(shown);
    }
  });

  it('shows hexadecimal examples', () => {
    expect(blocks('hex')).toHaveLength(2);
  });

  it('shows a frozen pointer and the frozen header', () => {
    const shown = blocks('json').map(({ text }) => text);
    const pointer = fs.readFileSync(path.join(format1Folder, 'v1/bert.pointer'), 'utf8');
    const header = fs.readFileSync(path.join(format1Folder, 'remote/mstore.json'), 'utf8');
    expect(shown).toContain(pointer);
    expect(shown).toContain(header);
    for (const text of shown) expect(() => JSON.parse(text)).not.toThrow();
  });

  it('names the rules for hard cuts, the only change of the header since the frozen one', () => {
    const { clock, random } = format1Surroundings(1);
    const header = formatHeader(clock, random);
    const { chunking } = JSON.parse(header.toString()) as { chunking: { cuts: string[] } };
    expect(chunking.cuts).toEqual(hardCutRules);
    const frozen = fs.readFileSync(path.join(format1Folder, 'remote/mstore.json'));
    expect(withFrozenCuts(header).equals(frozen)).toBe(true);
    const rules = document.slice(document.indexOf('### Hard cuts'));
    for (const rule of hardCutRules) expect(rules).toContain(`\n**${rule}.** `);
  });

  it('shows the size of blocks that the reader of GGUF knows', () => {
    const table = document.slice(document.indexOf('| type | elements, bytes |'));
    const cells = table
      .slice(0, table.indexOf('\n\n'))
      .matchAll(/ (\d+)(?:, (\d+))? \| (\d+), (\d+) (?=\|)/g);
    const shown: Record<string, readonly number[]> = {};
    for (const [, type = '', other = type, elements, bytes] of cells) {
      shown[type] = shown[other] = [Number(elements), Number(bytes)];
    }
    expect(shown).toEqual(ggufBlocks);
  });

  it('lists cuts that the chunker finds', () => {
    const rows = document.matchAll(/^\| (\d+), (\d+), (\d+) \| (\d+) \| (\d+) \| ([\d ]+) \|$/gm);
    let count = 0;
    for (const [, min, norm, max, seed, length, cuts] of rows) {
      count++;
      const bytes = xorshiftBytes(Number(seed), Number(length));
      const params = { min: Number(min), norm: Number(norm), max: Number(max) };
      const expected = cuts?.split(' ').map(Number);
      expect(naiveCuts(bytes, params)).toEqual(expected);
      const chunker = new Chunker(params);
      const found: number[] = [];
      for (let start = 0; start < bytes.length; found.push(start)) {
        start = chunker.next(bytes, start, bytes.length, true);
      }
      expect(found).toEqual(expected);
    }
    expect(count).toBe(6);
  });

  it('has a schema whose patterns accept the names of the fixture and refuse bad ones', () => {
    const [schema] = blocks('json').filter(({ about }) => about === 'schema');
    const { $defs, properties } = JSON.parse(schema?.text ?? '') as {
      $defs: { path: { pattern: string }; name: { pattern: string } };
      properties: object;
    };
    const name = new RegExp($defs.name.pattern, 'u');
    const full = new RegExp($defs.path.pattern, 'u');
    for (const good of ['bert', '😀 größe "π".txt', '...']) expect(good).toMatch(name);
    for (const bad of ['', '.', '..', 'a/b', 'a\\b', 'a\nb', '\u007f'])
      expect(bad).not.toMatch(name);
    for (const good of ['a/b', 'tools/run.sh']) expect(good).toMatch(full);
    for (const bad of ['/a', 'a/', 'a//b', 'a\\b']) expect(bad).not.toMatch(full);
    expect(Object.keys(properties)).toEqual([
      'mstore',
      'path',
      'kind',
      'sha256',
      'size',
      'executable',
      'files',
    ]);
  });
});
