import { describe, expect, it } from 'vitest';
import { parseGitConfig } from '../../../src/git/config-file.ts';
import { parseCommit } from '../../../src/git/objects.ts';
import { parseTagContent } from '../../../src/git/tag-object.ts';

const oid = 'ab'.repeat(20);

describe('objects of unusual size', () => {
  it('a commit may have more parents than a pattern has room for', () => {
    const parents = `parent ${oid}\n`.repeat(400_000);
    const { tree, parents: found } = parseCommit(
      oid,
      Buffer.from(`tree ${oid}\n${parents}author A`),
    );
    expect([tree, found.length, found.at(-1)]).toEqual([oid, 400_000, oid]);
  });

  it('a tag may name its maker with any number of signs', () => {
    const head = `object ${oid}\ntype commit\ntag v1\n`;
    const signs = '<'.repeat(1_000_000);
    const tagged = (line: string) => parseTagContent(Buffer.from(`${head}${line}\n\nText\n`));
    expect(tagged(`tagger ${signs}`)).toEqual({ tagger: undefined, seconds: 0, message: 'Text' });
    const { tagger, seconds } = tagged(`tagger A ${signs}b> 17 +0000`);
    expect([tagger?.name, tagger?.mail.length, seconds]).toEqual(['A', 1_000_000, 17]);
  });

  it('a section of a configuration may have a name that is longer than any other', () => {
    const text = `[user]\nname = Ann\n[a "${'\\"'.repeat(6_000_000)}"]\nname = c\n[b]\nd = e\n`;
    expect([...parseGitConfig(text)]).toEqual([
      ['user.name', 'Ann'],
      ['b.d', 'e'],
    ]);
  });
});
