import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isMstoreError } from '../../../src/base/errors.ts';
import { parseFileReference, parseReference } from '../../../src/registry/reference.ts';

const digest = 'a'.repeat(64);

describe('a reference', () => {
  const model = (name: string, selector: string) => ({ kind: 'model', model: name, selector });
  const word = (text: string) => ({ kind: 'word', word: text });
  const path = (text: string) => ({ kind: 'path', path: text });
  it.each([
    ['bert@v1', model('bert', 'v1')],
    ['bert@latest', model('bert', 'latest')],
    ['bert@production', model('bert', 'production')],
    ['safety_classifier@2026.01.05-rc.1', model('safety_classifier', '2026.01.05-rc.1')],
    ['3d-net@1', model('3d-net', '1')],
    ['v1', word('v1')],
    ['latest', word('latest')],
    ['main', word('main')],
    ['HEAD~1', word('HEAD~1')],
    ['@', word('@')],
    ['@~2', word('@~2')],
    ['feature/x@v1', word('feature/x@v1')],
    // These cannot be names of a registry, and may be names in Git or paths.
    ['Logo@2x.png', word('Logo@2x.png')],
    ['bert@V1', word('bert@V1')],
    ['a@b@c', word('a@b@c')],
    ['bert@', word('bert@')],
    ['@v1', word('@v1')],
    ['bert@v1..v2', word('bert@v1..v2')],
    [`${'m'.repeat(129)}@v1`, word(`${'m'.repeat(129)}@v1`)],
    ['models/bert', word('models/bert')],
    ['models/a:b', word('models/a:b')],
    ['weights:old', word('weights:old')],
    ['git:main', { kind: 'git', revision: 'main' }],
    ['git:bert@v1', { kind: 'git', revision: 'bert@v1' }],
    ['./bert@v1', path('./bert@v1')],
    ['../x', path('../x')],
    ['.', path('.')],
    ['..', path('..')],
    ['/abs', path('/abs')],
    ['./hf:x', path('./hf:x')],
    ['C:\\models', path('C:\\models')],
    ['C:/models', path('C:/models')],
    ['.hidden', word('.hidden')],
    ['local:./dir', { kind: 'local', folder: './dir' }],
    ['hf:gpt2', { kind: 'hf', repository: 'gpt2' }],
    ['hf:org/name', { kind: 'hf', repository: 'org/name' }],
    ['hf:org/name@refs/pr/1', { kind: 'hf', repository: 'org/name', revision: 'refs/pr/1' }],
    ['s3://bucket', { kind: 's3', bucket: 'bucket', prefix: '' }],
    ['s3://bucket/a/b', { kind: 's3', bucket: 'bucket', prefix: 'a/b' }],
    ['gs://bucket_1/a', { kind: 'gs', bucket: 'bucket_1', prefix: 'a' }],
    ['mlflow:models:/name/3', { kind: 'mlflow', model: 'name', version: '3' }],
    ['mlflow:models:/My Model@champion', undefined],
    ['mlflow:models:/name@champion', { kind: 'mlflow', model: 'name', alias: 'champion' }],
    ['dvc:data/model.pkl', { kind: 'dvc', path: 'data/model.pkl' }],
    ['dvc:a@b#c#rev=m@v1#2', { kind: 'dvc', path: 'a@b#c', revision: 'm@v1#2' }],
    [
      'oci://ghcr.io/org/model:v1',
      { kind: 'oci', host: 'ghcr.io', repository: 'org/model', tag: 'v1' },
    ],
    [
      'oci://127.0.0.1:5000/m:v1',
      { kind: 'oci', host: '127.0.0.1:5000', repository: 'm', tag: 'v1' },
    ],
    [
      `oci://host/m@sha256:${digest}`,
      { kind: 'oci', host: 'host', repository: 'm', digest: `sha256:${digest}` },
    ],
  ])('%s', (text, expected) => {
    if (expected === undefined) expect(() => parseReference(text)).toThrow();
    else expect(parseReference(text)).toEqual(expected);
  });

  it.each([
    '',
    'a\0b',
    'x'.repeat(4_097),
    'git:',
    'local:',
    'hf:',
    'hf:a/b/c',
    'hf:../x',
    'hf:org/na me',
    'hf:org/name@',
    'hf:org/name@a@b',
    's3://',
    's3:///x',
    's3://key:secret@bucket/x',
    'gs://-x',
    'mlflow:models:/name',
    'mlflow:models:/name/latest',
    'mlflow:runs:/1/model',
    'mlflow:models:/a@',
    'dvc:',
    'dvc:#rev=v1',
    'dvc:a#rev=',
    'dvc:a#rev=a b',
    'oci://host',
    'oci://host/m',
    'oci://host/M:v1',
    'oci://host/m:v1:v2',
    'oci://host/m@sha256:12',
    'https://example.org/model.onnx',
    'file:///tmp/x',
  ])('that is none: %j', (text) => {
    try {
      parseReference(text);
      expect.unreachable(`${text} was read`);
    } catch (error) {
      expect(error).toMatchObject({ code: 'usage', hint: expect.stringMatching(/^[A-Z]/) });
      expect(String(error)).not.toContain('secret');
    }
  });

  it('is read in time and refused with a code and a hint, whatever the text', () => {
    const heads = ['', 'git:', 'hf:', 's3://', 'mlflow:models:/', 'oci://h/', 'dvc:', 'm@'];
    const tails = fc.oneof(
      fc.string({ maxLength: 80, unit: 'binary' }),
      fc.constantFrom('a-', '_', '@', '/', ':', '.', 'a_').map((part) => part.repeat(2_000)),
    );
    fc.assert(
      fc.property(fc.constantFrom(...heads), tails, (head, tail) => {
        for (const read of [parseReference, parseFileReference]) {
          try {
            read(head + tail);
          } catch (error) {
            expect(isMstoreError(error, 'usage')).toBe(true);
            expect((error as { hint?: string }).hint).toBeDefined();
          }
        }
      }),
    );
  });
});

describe('the name of a file in a version', () => {
  it.each([
    ['models/a.bin', undefined, 'models/a.bin'],
    ['./a:b', undefined, './a:b'],
    ['C:\\models\\a', undefined, 'C:\\models\\a'],
    ['v1:models/a', { kind: 'word', word: 'v1' }, 'models/a'],
    ['git:v1:models/a:b', { kind: 'git', revision: 'v1' }, 'models/a:b'],
    ['bert@v1:models/a', { kind: 'model', model: 'bert', selector: 'v1' }, 'models/a'],
    ['hf:org/name:config.json', { kind: 'hf', repository: 'org/name' }, 'config.json'],
    ['mlflow:models:/name/3:MLmodel', { kind: 'mlflow', model: 'name', version: '3' }, 'MLmodel'],
  ])('%s', (text, reference, path) => {
    expect(parseFileReference(text)).toEqual({ reference, path });
  });

  it.each([
    '',
    ':a',
    'v1:',
    'git:v1',
    'git::a',
    'git:',
    'hf:org/name',
    's3://bucket/x',
    'oci://h/m:v1',
  ])('that is none: %j', (text) => {
    expect(() => parseFileReference(text)).toThrow(
      expect.objectContaining({ code: 'usage', hint: expect.stringMatching(/^[A-Z]/) }),
    );
  });
});
