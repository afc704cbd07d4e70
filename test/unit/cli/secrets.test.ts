import { describe, expect, it } from 'vitest';
import { withoutSecrets } from '../../../src/cli/secrets.ts';

describe('secrets of the environment', () => {
  it.each([
    'MSTORE_TOKEN',
    'HF_TOKEN',
    'AWS_SECRET_ACCESS_KEY',
    'AWS_SESSION_TOKEN',
    'MLFLOW_TRACKING_PASSWORD',
    'MSTORE_PASSPHRASE',
  ])('are taken out of texts: %s', (name) => {
    expect(withoutSecrets('It said: Bearer abcd.+*efgh!', { [name]: ' abcd.+*efgh\n' })).toBe(
      'It said: Bearer …!',
    );
  });

  it('are not words, nor what names something else', () => {
    const env = { HF_TOKEN: 'model', MSTORE_TOKEN_ORIGIN: 'https://host', PATH: '/usr/bin', X: '' };
    const text = 'The model of https://host below /usr/bin';
    expect(withoutSecrets(text, env)).toBe(text);
  });
});
