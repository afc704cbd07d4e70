import { expect, it } from 'vitest';
import { checkRegistryName } from '../../../src/registry/names.ts';

it.each([
  ['model', 'A', 'A is no name for a model: it has capital letters', 'safety_classifier'],
  ['version', '', ' is no name for a version: it is empty', 'v1.2.0'],
  ['environment', 'latest', 'latest is no name for a environment: "latest" is', 'production'],
] as const)(
  'a name for a %s that cannot be is told with an example',
  (kind, name, text, example) => {
    expect(() => checkRegistryName(kind, name)).toThrow(
      expect.objectContaining({
        code: 'bad-name',
        message: expect.stringContaining(text) as string,
        hint: `Use a name like ${example}`,
        details: { kind, name },
      }) as Error,
    );
  },
);

it('a model may be called latest, which names no version of it', () => {
  expect(checkRegistryName('model', 'latest')).toBe('latest');
});
