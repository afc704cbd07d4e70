import { expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { digestInKey } from '../../../src/store/keys.ts';
import { recipeProblem } from '../../../src/store/recipe.ts';

const digest = sha256('x');

it('the digest of a key has the suffix behind it', () => {
  expect(digestInKey(`a/${digest}.pack`, '.pack')).toBe(digest);
  expect(digestInKey(`a/${digest}.temp`, '.pack')).toBeUndefined();
});

it('a damaged recipe is named, and what to do about it is told', () => {
  expect(recipeProblem(digest, 'why')).toMatchObject({
    code: 'corrupt-recipe',
    message: `The recipe of the blob ${digest} is damaged: why`,
    hint: expect.stringContaining(`Remove recipes/${digest.slice(0, 2)}/${digest} there`) as string,
    details: { blob: digest },
  });
});
