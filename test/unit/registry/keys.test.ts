import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import {
  entryKey,
  logPrefix,
  parseRegistryKey,
  signatureKey,
  versionKey,
} from '../../../src/registry/keys.ts';
import { environmentLog, stateLog } from '../../../src/registry/registry.ts';

const longest = 'a'.repeat(128);

describe('keys of a registry', () => {
  it.each([
    versionKey('m', 'v1'),
    versionKey(longest, longest),
    entryKey(environmentLog('m', 'prod'), 1),
    entryKey(stateLog('latest', 'v1'), 99_999_999),
    signatureKey(longest, longest, sha256('')),
  ])('%s is read as it was made', (key) => {
    const named = parseRegistryKey(key);
    if (named === undefined) throw new Error('It was not read');
    const again =
      named.kind === 'versions'
        ? versionKey(named.model, named.name)
        : named.kind === 'signatures'
          ? signatureKey(named.model, named.name, named.sha256)
          : entryKey(named, named.number);
    expect(again).toBe(key);
  });

  it('stand where the format says', () => {
    expect(versionKey('m', 'v1')).toBe('refs/models/m/versions/v1.json');
    expect(entryKey(stateLog('m', 'v1'), 12)).toBe('refs/models/m/states/v1/00000012.json');
    expect(logPrefix(environmentLog('m', 'prod'))).toBe('refs/models/m/environments/prod/');
  });

  it.each([
    'refs/models/m/versions/v1',
    'refs/model/m/versions/v1.json',
    'x/refs/models/m/versions/v1.json',
    'refs/models/m/versions/v1.json.tmp',
    'refs/models/M/versions/v1.json',
    'refs/models//versions/v1.json',
    'refs/models/m/versions.json',
    'refs/models/m/versions/latest.json',
    'refs/models/m/versions/v1/x.json',
    'refs/models/m/version/v1.json',
    'refs/models/m/other/v1/00000001.json',
    'refs/models/m/environments/prod.json',
    'refs/models/m/environments/Prod/00000001.json',
    'refs/models/m/environments/prod/00000000.json',
    'refs/models/m/environments/prod/1.json',
    'refs/models/m/environments/prod/000000001.json',
    'refs/models/m/environments/prod/x00000001.json',
    'refs/models/m/environments/prod/00000001x.json',
    'refs/models/m/environments/prod/00000001/x.json',
    'refs/models/m/states/latest/00000001.json',
    'refs/models/m/signatures/v1/00000001.json',
    `refs/models/m/signatures/latest/${sha256('')}.json`,
    `refs/models/m/signatures/v1/x/${sha256('')}.json`,
  ])('%s is none', (key) => {
    expect(parseRegistryKey(key)).toBeUndefined();
  });

  it('are not made of what is no name or no number', () => {
    const log = environmentLog('m', 'prod');
    for (const number of [0, -1, 1.5, Number.NaN, 100_000_000])
      expect(() => entryKey(log, number), String(number)).toThrow(/the number of an entry/);
    expect(() => versionKey('M', 'v1')).toThrow(/a checked name of a model/);
    expect(() => versionKey('m', '..')).toThrow(/a checked name of a version/);
    expect(() => logPrefix(environmentLog('m', 'latest'))).toThrow(/name of a environment/);
  });
});
