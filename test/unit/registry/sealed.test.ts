import { describe, expect, it } from 'vitest';
import { parseEntry } from '../../../src/registry/entry.ts';
import { formatRecord, parseRecord, type VersionRecord } from '../../../src/registry/record.ts';
import { environmentLog, stateLog } from '../../../src/registry/registry.ts';
import { formatSealed, isSealed, missingInRegistry, seal } from '../../../src/registry/sealed.ts';
import { environmentDraft, madeRecord, stateDraft } from '../../support/registry.ts';

const record = madeRecord('m', 'v1');
const corrupt = (what: string) =>
  expect.objectContaining({
    code: 'corrupt-registry',
    message: expect.stringContaining(what) as string,
    hint: expect.stringContaining('mstore fetch') as string,
    details: { path: 'here' },
  }) as Error;

describe('what is sealed', () => {
  const bytes = formatRecord(record);
  const changed = (change: object) =>
    Buffer.from(JSON.stringify({ ...JSON.parse(bytes.toString()), ...change }));

  it('is told from what is not, whatever document it holds', () => {
    expect(isSealed(bytes)).toBe(true);
    expect(isSealed(formatSealed('anything', seal({ a: [1] })))).toBe(true);
    expect(isSealed(changed({ more: 1 }))).toBe(true);
    expect(isSealed(changed({ record: { ...record.value, author: 'Eve' } }))).toBe(false);
    expect(isSealed(changed({ sha256: seal({}).sha256 }))).toBe(false);
    expect(isSealed(changed({ record: 1 }))).toBe(false);
    for (const text of ['', 'x', '[]', 'null', '"x"', '{}', '{"sha256": 1, "a": 1}'])
      expect(isSealed(Buffer.from(text)), text).toBe(false);
    const deep = `{"sha256":"","a":{"b":${'['.repeat(300)}${']'.repeat(300)}}}`;
    expect(isSealed(Buffer.from(deep))).toBe(false);
    // What seals an object does not seal itself.
    const inner = { a: 1 };
    const itself = JSON.stringify({ mstore: inner, sha256: seal(inner).sha256 });
    expect(isSealed(Buffer.from(itself))).toBe(false);
  });

  it.each([
    ['no JSON', Buffer.from('{'), 'it is not UTF-8 JSON'],
    ['no object', Buffer.from('[]'), 'it is not a JSON object'],
    ['no format', changed({ mstore: undefined }), 'it has no format number'],
    ['half a format', changed({ mstore: 0.5 }), 'it has no format number'],
    ['format 1.5', changed({ mstore: 1.5 }), 'it has no format number'],
    ['format 0', changed({ mstore: 0 }), 'it has no format number'],
    ['no digest', changed({ sha256: 'x' }), 'its sha256 is no digest'],
    ['no record', changed({ record: [] }), 'it holds no record'],
    ['another record', changed({ record: {} }), 'its content does not fit its digest'],
  ])('is refused with %s', (_, object, what) => {
    expect(() => parseRecord(object, 'here', { model: 'm', version: 'v1' })).toThrow(corrupt(what));
  });

  it('is refused in a format to come, with what to do about it', () => {
    const parse = () => parseRecord(changed({ mstore: 2 }), 'here', { model: 'm', version: 'v1' });
    expect(parse).toThrow(
      expect.objectContaining({
        code: 'newer-format',
        hint: 'Install a newer mstore',
        details: { path: 'here', format: 2 },
      }) as Error,
    );
  });

  it('can be had again where it is gone', () => {
    expect(missingInRegistry('here')).toMatchObject(corrupt('it is missing'));
  });
});

describe('a version record', () => {
  const parse = (change: object) => {
    const bytes = formatRecord(seal({ ...record.value, ...change } as VersionRecord));
    return parseRecord(bytes, 'here', { model: 'm', version: 'v1' }).value;
  };
  const content = (change: object) => ({ content: { ...record.value.content, ...change } });

  it.each<[object]>([
    [{ description: 'a', status: 'b', labels: { a: 'b' }, changelog: ['a'], metadata: { a: [] } }],
    [{ changelog: [], labels: {}, metadata: {}, source: { git: { dirty: true } } }],
    [content({ kind: 'file', executable: true })],
    [content({ size: 0, path: 'm' })],
    [content({ size: Number.MAX_SAFE_INTEGER })],
  ])('may have %j', (change) => {
    expect(parse(change)).toMatchObject(change);
  });

  it.each<[object, string]>([
    [{ model: 'x' }, 'it speaks of x@v1'],
    [{ version: 'v2' }, 'it speaks of m@v2'],
    [{ model: 1 }, 'its model is no text'],
    [{ version: 'V1' }, 'the name of its version cannot be: it has capital letters'],
    [{ author: null }, 'its author is no text'],
    [{ tool: 1 }, 'its tool is no text'],
    [{ created: 1 }, 'its created is no text'],
    [{ created: '2026-01-02T03:04:05Z' }, 'its created is no time'],
    [{ created: 'x2026-01-02T03:04:05.678Z' }, 'its created is no time'],
    [{ created: '2026-01-02T03:04:05.678Zx' }, 'its created is no time'],
    [{ created: '2026-13-02T03:04:05.678Z' }, 'its created is no time'],
    [{ description: 1 }, 'its description is no text'],
    [{ status: [] }, 'its status is no text'],
    [{ labels: { a: 1 } }, 'its labels are no strings by name'],
    [{ labels: [] }, 'its labels are no strings by name'],
    [{ metrics: undefined }, 'its metrics are no numbers by name'],
    [{ metrics: { a: 1, b: '1' } }, 'its metrics are no numbers by name'],
    [{ changelog: ['a', 1] }, 'its changelog is no list of texts'],
    [{ changelog: {} }, 'its changelog is no list of texts'],
    [{ metadata: [] }, 'its metadata is no object'],
    [{ source: 'x' }, 'its source is no object'],
    [{ content: [] }, 'it has no content'],
    [content({ path: 1 }), 'its content has no path'],
    [content({ path: 'a//b' }), 'the path of its content has'],
    [content({ path: 'a/..' }), 'the path of its content has'],
    [content({ kind: 'link' }), 'its content is neither file nor tree'],
    [content({ sha256: 'ab' }), 'the sha256 of its content is no digest'],
    [content({ size: '5' }), 'the size of its content is no size'],
    [content({ size: -1 }), 'the size of its content is no size'],
    [content({ size: 0.5 }), 'the size of its content is no size'],
    [content({ size: 2 ** 53 }), 'the size of its content is no size'],
    [content({ executable: true }), 'its content is wrongly marked as executable'],
    [content({ kind: 'file', executable: false }), 'its content is wrongly marked as executable'],
  ])('may not have %j', (change, what) => {
    expect(() => parse(change)).toThrow(corrupt(what));
  });
});

describe('an entry', () => {
  const live = { ...environmentDraft(record, 'prod'), number: 1, previous: null };
  const state = { ...stateDraft('m', 'v1', 'archived'), number: 1, previous: null };
  const digest = seal({}).sha256;
  const parse = (value: object, number = 1) => {
    const log = 'environment' in value ? environmentLog('m', 'prod') : stateLog('m', 'v1');
    return parseEntry(formatSealed('entry', seal(value)), 'here', log, number).value;
  };

  it.each<[object]>([
    [{ ...live, action: 'promote', from: 'staging', forced: true, reason: 'a' }],
    [{ ...live, action: 'rollback', gate: { passed: false } }],
    [{ ...live, gate: { passed: true, score: 0.5, rival: 'v0' } }],
    [{ ...state, state: 'deleted' }],
  ])('may be %j', (value) => {
    expect(parse(value)).toEqual(value);
  });

  it('has a previous one, but for the first', () => {
    expect(parse({ ...live, number: 2, previous: digest }, 2)).toMatchObject({ number: 2 });
    const what = 'the first entry of a log has no previous one, and all others do';
    expect(() => parse({ ...live, number: 2 }, 2)).toThrow(corrupt(what));
    expect(() => parse({ ...live, previous: digest })).toThrow(corrupt(what));
  });

  it.each<[object, string]>([
    [{ ...live, model: 'n' }, 'it is the entry of another place'],
    [{ ...live, environment: 'staging' }, 'it is the entry of another place'],
    [{ ...live, number: 2, previous: digest }, 'it is the entry of another place'],
    [{ ...state, version: 'v2' }, 'it is the entry of another place'],
    [{ ...live, at: 'today' }, 'its at is no time'],
    [{ ...live, by: 1 }, 'its by is no text'],
    [{ ...live, reason: 1 }, 'its reason is no text'],
    [{ ...live, previous: 'x' }, 'its previous is no digest'],
    [{ ...live, previous: undefined }, 'its previous is no digest'],
    [{ ...live, forced: false }, 'its forced is not true'],
    [{ ...live, version: 1 }, 'its version is no text'],
    [{ ...live, version: 'latest' }, 'its version is no name'],
    [{ ...live, action: 'remove' }, 'its action is none that this mstore knows'],
    [{ ...live, record: 'x' }, 'its record is no digest'],
    [{ ...live, from: 1 }, 'its from is no text'],
    [{ ...live, gate: null }, 'its gate holds no verdict'],
    [{ ...live, gate: {} }, 'its gate holds no verdict'],
    [{ ...live, gate: { passed: 1 } }, 'its gate holds no verdict'],
    [{ ...live, gate: { passed: true, score: '1' } }, 'its gate holds no verdict'],
    [{ ...state, state: 'x' }, 'its state is none that this mstore knows'],
    [{ ...state, state: undefined }, 'its state is none that this mstore knows'],
  ])('may not be %j', (value, what) => {
    expect(() => parse(value)).toThrow(corrupt(what));
  });
});
