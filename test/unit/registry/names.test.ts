import { describe, expect, it } from 'vitest';
import { entryKey, parseRegistryKey, versionKey } from '../../../src/registry/keys.ts';
import { checkRegistryName, registryNameProblem } from '../../../src/registry/names.ts';

describe('names of the registry', () => {
  it.each(['a', 'safety_classifier', 'v1.2.0', '1.0.0-rc.1', '7', 'a'.repeat(128)])(
    'may be %s',
    (name) => {
      expect(registryNameProblem('version', name)).toBeUndefined();
    },
  );

  it.each([
    '',
    'A',
    'a/b',
    'a@b',
    '.a',
    '_a',
    '-a',
    'a b',
    'ä',
    'a.',
    'a..b',
    '..',
    'a\n',
    'a'.repeat(129),
    'latest',
  ])('may not be %j', (name) => {
    expect(registryNameProblem('version', name)).toBeDefined();
    expect(() => checkRegistryName('version', name)).toThrowError(
      expect.objectContaining({ code: 'bad-name' }),
    );
  });
});

describe('keys of the registry', () => {
  const log = { model: 'm', kind: 'environments', name: 'production' } as const;

  it('are read as they are written', () => {
    expect(versionKey('m', 'v1')).toBe('refs/models/m/versions/v1.json');
    expect(parseRegistryKey(versionKey('m', 'v1'))).toEqual({
      model: 'm',
      kind: 'versions',
      name: 'v1',
    });
    expect(entryKey(log, 42)).toBe('refs/models/m/environments/production/00000042.json');
    expect(parseRegistryKey(entryKey(log, 42))).toEqual({ ...log, number: 42 });
  });

  it.each([
    'refs/models/m/versions/v1',
    'refs/models/m/versions/latest.json',
    'refs/models/m/versions/a/b.json',
    'refs/models/M/versions/v1.json',
    'refs/models/m/environments/production/00000000.json',
    'refs/models/m/environments/production/42.json',
    'refs/models/m/environments/production.json',
    'refs/models/m/other/production/00000001.json',
    'refs/other/m/versions/v1.json',
    'packs/ab/x.json',
  ])('are none of other objects: %s', (key) => {
    expect(parseRegistryKey(key)).toBeUndefined();
  });
});
