import { describe, expect, it } from 'vitest';
import { isOwnCard, modelCard } from '../../../src/flow/publish/model-card.ts';
import { parseYaml } from '../../../src/registry/data-file.ts';
import type { VersionRecord } from '../../../src/registry/record.ts';
import { madeRecord } from '../../support/registry.ts';

async function cardOf(facts: Partial<VersionRecord>, text?: string): Promise<string> {
  const edition = { record: madeRecord('bert', 'v1', facts), files: [] };
  const template = text === undefined ? undefined : { name: 'card.md', text };
  return (await modelCard(edition, template)).toString();
}

/** The front matter, parsed. */
async function matterOf(facts: Partial<VersionRecord>, text?: string): Promise<unknown> {
  const card = await cardOf(facts, text);
  const [, matter = ''] = /^---\n(.*?)---\n/s.exec(card) ?? [];
  return parseYaml(matter, (problem) => new Error(problem) as never);
}

describe('the front matter of a model card', () => {
  it('takes fields of the metadata and labels, in the form that the Hub wants', async () => {
    const metadata = {
      license: 'Apache-2.0',
      tags: ['a: b', 'yes', '#1'],
      language: 'en, zh',
      pipeline_tag: 'image-to-text',
      datasets: ['org/data'],
      library_name: 7,
    };
    const labels = { library_name: 'onnx', tags: 'ignored' };
    const metrics = { 'accuracy top1': 0.5 };
    expect(await matterOf({ metadata, labels, metrics })).toEqual({
      license: 'apache-2.0',
      pipeline_tag: 'image-to-text',
      tags: ['a: b', 'yes', '#1'],
      language: ['en', 'zh'],
      datasets: ['org/data'],
      'model-index': [
        {
          name: 'bert',
          results: [
            {
              task: { type: 'image-to-text' },
              dataset: { type: 'org/data', name: 'org/data' },
              metrics: [{ type: 'accuracy top1', name: 'accuracy top1', value: 0.5 }],
            },
          ],
        },
      ],
    });
  });

  it.each([
    ['MIT', { license: 'mit' }],
    ['GPL-3.0-or-later', { license: 'gpl-3.0' }],
    ['Our own, see LICENSE', { license: 'other', license_name: 'our-own-see-license' }],
    ['', undefined],
  ])('tells the licence %s', async (license, fields) => {
    const matter = await matterOf({ metadata: { license } });
    if (fields === undefined) expect(await cardOf({ metadata: { license } })).not.toMatch(/^---/);
    else expect(matter).toEqual(fields);
  });

  it('names the model of the Hub that it came from', async () => {
    const source = { imported: { kind: 'hf', repository: 'org/base', from: 'hf:org/base@1' } };
    expect(await matterOf({ source })).toEqual({ base_model: ['org/base'] });
  });

  it('of the template wins', async () => {
    const template = '---\nlicense: mit\nextra: {deep: [1]}\n---\n# x\n';
    const matter = await matterOf({ metadata: { license: 'isc', tags: ['t'] } }, template);
    expect(matter).toEqual({ license: 'mit', tags: ['t'], extra: { deep: [1] } });
  });
});

describe('the page of a model card', () => {
  it('leaves out what is not known, with its headings, and keeps its title', async () => {
    const card = await cardOf({ metrics: { f1: 0.5 } });
    expect(card).toContain('# bert v1\n\n## Metrics\n\n| metric | value |\n');
    expect(card).not.toContain('## Changes');
    expect(card).not.toContain('## Files');
    expect(isOwnCard(card)).toBe(true);
  });

  it('tells no address of an author, and breaks no table', async () => {
    const card = await cardOf({
      author: 'Ada <ada@example.com>',
      labels: { 'a|b': 'x\ny' },
      metrics: { 'a|b\nc': 1 },
    });
    expect(card).toContain('by Ada\n');
    expect(card).not.toContain('example.com');
    expect(card).toContain('| a\\|b c | 1 |');
    expect(card).toContain('- a|b: x y\n');
  });

  it('keeps braces of a description', async () => {
    const card = await cardOf({ description: 'is {{metrics}} of $& and $1' }, '{{description}}');
    expect(card).toContain('is {{metrics}} of $& and $1');
  });

  it.each([
    ['{{ nothing }}', 'stands for nothing'],
    ['---\n- a\n---\n', 'maps no names to values'],
    ['---\na: b: c\n---\n', 'is not valid YAML'],
  ])('of the template %j is refused', async (template, problem) => {
    await expect(cardOf({}, template)).rejects.toMatchObject({
      code: 'bad-metadata',
      message: expect.stringContaining(problem),
    });
  });
});
