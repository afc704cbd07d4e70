import { describe, expect, it } from 'vitest';
import { proxyFor } from '../../../src/source/proxy.ts';

const by = (address: string, env: NodeJS.ProcessEnv): string | undefined =>
  proxyFor(new URL(address), env)?.href;

describe('proxyFor', () => {
  it('takes what the environment names, for HTTPS alone', () => {
    expect(by('https://hub.org/x', {})).toBeUndefined();
    expect(by('https://hub.org/x', { HTTPS_PROXY: 'http://p:3128' })).toBe('http://p:3128/');
    expect(by('https://hub.org/x', { https_proxy: 'p:3128' })).toBe('http://p:3128/');
    expect(by('https://hub.org/x', { https_proxy: 'https://q', HTTPS_PROXY: 'p' })).toBe(
      'https://q/',
    );
    expect(by('https://hub.org/x', { HTTPS_PROXY: ' ' })).toBeUndefined();
    expect(by('http://hub.org/x', { HTTPS_PROXY: 'http://p:3128' })).toBeUndefined();
  });

  it.each([
    ['*', true],
    ['hub.org', true],
    ['HUB.org', true],
    ['org', true],
    ['.org', true],
    ['*.org', true],
    ['other.org,hub.org', true],
    ['other.org  hub.org:443', true],
    ['hub.org:8443', false],
    ['ub.org', false],
    ['.', false],
    ['x.hub.org', false],
    ['', false],
    [',', false],
  ])('asks directly what NO_PROXY names: %s', (list, isDirect) => {
    const env = { HTTPS_PROXY: 'p:1', NO_PROXY: list };
    expect(by('https://hub.org/x', env)).toBe(isDirect ? undefined : 'http://p:1/');
  });

  it('knows addresses and ports', () => {
    const env = { HTTPS_PROXY: 'p:1', no_proxy: '10.0.0.1,[::1]:8443,::2', NO_PROXY: '*' };
    expect(by('https://10.0.0.1/x', env)).toBeUndefined();
    expect(by('https://[::1]:8443/x', env)).toBeUndefined();
    expect(by('https://[::1]/x', env)).toBe('http://p:1/');
    expect(by('https://[::2]/x', env)).toBeUndefined();
  });

  it.each(['socks5://me:secret@p', 'http://', 'not a proxy'])('refuses %s', (given) => {
    let message = '';
    try {
      by('https://hub.org/x', { HTTPS_PROXY: given });
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain('HTTPS_PROXY names no proxy');
    expect(message).not.toContain('secret');
  });
});
