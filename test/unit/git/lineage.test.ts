import { expect, it } from 'vitest';
import { remoteUrlOf, withoutCredentials } from '../../../src/git/lineage.ts';

it.each([
  ['https://user:token@example.com/a/b.git', 'https://example.com/a/b.git'],
  ['https://token@example.com:8443/a', 'https://example.com:8443/a'],
  ['https://user:p@ss@example.com/a', 'https://example.com/a'],
  ['HTTPS://x:y@Example.com/a', 'HTTPS://Example.com/a'],
  ['https://example.com/@scope/a?private_token=1#x', 'https://example.com/@scope/a'],
  ['https://example.com?token=1', 'https://example.com'],
  ['http://u:p@[::1]:80/a', 'http://[::1]:80/a'],
  ['git://u@example.com/a', 'git://example.com/a'],
  ['ssh://git@example.com:2222/a', 'ssh://git@example.com:2222/a'],
  ['ssh://git:secret@example.com/a', 'ssh://git@example.com/a'],
  ['ssh://example.com/a', 'ssh://example.com/a'],
  ['git@example.com:a/b.git', 'git@example.com:a/b.git'],
  ['/srv/git/a.git', '/srv/git/a.git'],
  ['../a?b', '../a?b'],
  ['file:///srv/a?b', 'file:///srv/a?b'],
  ['C:\\git\\a', 'C:\\git\\a'],
  ['codecommit::eu-west-1://team@a', 'codecommit::eu-west-1://a'],
])('tells of %s only %s', (url, told) => {
  expect(withoutCredentials(url)).toBe(told);
  expect(withoutCredentials(told)).toBe(told);
});

it.each([
  // A password with a slash: what stands before the slash is no host.
  'https://user:pa/ss@example.com/a',
  'https://@/a',
  'https:///a',
  'ext::sh -c "connect --password secret %S"',
  'x::https://user:pa/ss@example.com/a',
  '://u:p@example.com',
  'https://example.com/a\nb',
  `https://example.com/${'a'.repeat(3_000)}`,
  '',
])('tells nothing of %j', (url) => {
  expect(withoutCredentials(url)).toBeUndefined();
});

it('takes the first URL of a remote, and of several remotes origin alone', () => {
  const b = ['remote.b.url', '/b'] as const;
  expect(remoteUrlOf([b, ['remote.b.url', '/b2'], ['remote.b.fetch', '/c']])).toBe('/b');
  expect(remoteUrlOf([b, ['remote.origin.url', '/o']])).toBe('/o');
  expect(remoteUrlOf([b, ['remote.a.b.url', '/ab']])).toBeUndefined();
});
