import { expect, it } from 'vitest';
import { missingInRegistry } from '../../../src/registry/sealed.ts';

it('what is gone can be had again', () => {
  const { code, message, hint, details } = missingInRegistry('here');
  expect({ code, message, details }).toEqual({
    code: 'corrupt-registry',
    message: 'here cannot be used: it is missing',
    details: { path: 'here' },
  });
  expect(hint).toContain('mstore fetch');
});
