import { describe, expect, it } from 'vitest';
import {
  formatGtoName,
  type GtoName,
  type GtoTag,
  gatherGtoTags,
  gtoNameProblem,
  parseGtoName,
  sortGtoTags,
} from '../../../src/registry/gto.ts';

const names: Array<[string, GtoName]> = [
  ['m@v1.2.0', { action: 'register', artifact: 'm', version: 'v1.2.0' }],
  [
    'm@v1.2.0-rc.1+b-2#7',
    { action: 'register', artifact: 'm', version: 'v1.2.0-rc.1+b-2', counter: 7 },
  ],
  ['m@v1.2.0!', { action: 'deregister', artifact: 'm', version: 'v1.2.0' }],
  ['a_b-c/d#prod#3', { action: 'assign', artifact: 'a_b-c/d', stage: 'prod', counter: 3 }],
  ['m#prod', { action: 'assign', artifact: 'm', stage: 'prod' }],
  ['m#prod!#12', { action: 'unassign', artifact: 'm', stage: 'prod', counter: 12 }],
  ['m#team/prod!', { action: 'unassign', artifact: 'm', stage: 'team/prod' }],
  ['m@deprecated', { action: 'deprecate', artifact: 'm' }],
  ['m@deprecated#2', { action: 'deprecate', artifact: 'm', counter: 2 }],
  ['some/dir.x=m@v0.0.1', { action: 'register', artifact: 'some/dir.x:m', version: 'v0.0.1' }],
];

function tag(text: string, commit: string, seconds: number): GtoTag {
  const parsed = parseGtoName(text);
  if (parsed === undefined) throw new Error(text);
  return { ...parsed, tag: text, commit, seconds, tagger: undefined, message: '' };
}

describe('names of tags', () => {
  it.each(names)('%s is taken apart and put together', (text, parsed) => {
    expect(parseGtoName(text)).toEqual(parsed);
    expect(formatGtoName(parsed)).toBe(text);
  });

  it.each([
    ...['v1.0.0', 'm', 'm@1.0.0', 'm@v1.0', 'm@v01.0.0', 'm@v1.0.0-01', 'm@v1.0.0!!', 'm#', 'm##1'],
    ...['-m@v1.0.0', 'm-@v1.0.0', 'm.x@v1.0.0', 'm@v1.0.0#x', 'm#a#b', 'm@deprecated!', 'a=b=c#s'],
    ...['m@latest', 'm@created', 'm@v1.0.0\n', ' m@v1.0.0', `${'m'.repeat(2_000)}@v1.0.0`],
  ])('%j is of another form', (text) => {
    expect(parseGtoName(text)).toBeUndefined();
  });
});

describe('names of ours', () => {
  it.each([
    ['model', 'ranker', true],
    ['model', 'safety_classifier-2', true],
    ['model', 'bert.base', false],
    ['model', 'bert-', false],
    ['environment', 'production', true],
    ['environment', 'eu.west', false],
    ['version', 'v1.2.0', true],
    ['version', 'v1.2.0-rc.1', true],
    ['version', '1.2.0', false],
    ['version', 'v2', false],
    ['version', 'v2026.01.05', false],
  ] as const)('%s %s: GTO takes it is %s', (kind, given, fine) => {
    expect(gtoNameProblem(kind, given) === undefined).toBe(fine);
  });
});

describe('the tags of an artifact', () => {
  it('say which versions there are, which are in use, and where', () => {
    const found = gatherGtoTags('m', [
      tag('m#prod#3', 'c2', 30),
      tag('m@v1.0.0', 'c1', 10),
      tag('m@v1.1.0', 'c2', 20),
      tag('m#prod#1', 'c1', 11),
      tag('m#staging#2', 'c2', 21),
      tag('m#staging!#4', 'c2', 40),
      tag('m@v1.0.0!', 'c1', 41),
      tag('other@v9.0.0', 'c1', 1),
      tag('m@v2.0.0!', 'c3', 50),
      tag('m@v2.0.0#9', 'c3', 51),
    ]);
    expect([...found.versions]).toEqual([
      ['c1', 'v1.0.0'],
      ['c2', 'v1.1.0'],
      ['c3', 'v2.0.0'],
    ]);
    expect(found.commits.get('v1.1.0')).toBe('c2');
    expect([...found.retired]).toEqual(['v1.0.0']);
    expect(Object.fromEntries(found.stages)).toEqual({ prod: ['c1', 'c2'], staging: [] });
    expect(found.counter).toBe(9);
    expect(found.contradictions).toEqual([]);
    expect(gatherGtoTags('none', []).counter).toBe(0);
  });

  it('end the use of all versions there are when the artifact is deprecated', () => {
    const found = gatherGtoTags('m', [
      tag('m@v1.0.0', 'c1', 1),
      tag('m@deprecated', 'c1', 2),
      tag('m@v1.1.0', 'c2', 3),
    ]);
    expect([...found.retired]).toEqual(['v1.0.0']);
  });

  it('may contradict each other', () => {
    const found = gatherGtoTags('m', [
      tag('m@v1.0.0', 'c1', 1),
      tag('m@v2.0.0', 'c1', 2),
      tag('m@v1.0.0#2', 'c2', 3),
    ]);
    expect(found.contradictions).toEqual(['m@v2.0.0 at c1', 'm@v1.0.0#2 at c2']);
    expect([...found.versions]).toEqual([['c1', 'v1.0.0']]);
  });

  it('are in the order of their times, then of their numbers', () => {
    const sorted = sortGtoTags([
      tag('m#prod#10', 'c', 5),
      tag('m#prod!#9', 'c', 5),
      tag('m@v1.0.0', 'c', 5),
      tag('m@v0.1.0', 'c', 4),
    ]);
    expect(sorted.map((each) => each.tag)).toEqual([
      'm@v0.1.0',
      'm@v1.0.0',
      'm#prod!#9',
      'm#prod#10',
    ]);
  });
});
