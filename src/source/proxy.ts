import type * as http from 'node:http';
import type * as tls from 'node:tls';
import { MstoreError } from '../base/errors.ts';
import { refused, unreachable } from '../remote/service-errors.ts';
import { sourceError } from './failures.ts';

/**
 * Finds the proxy by which an address is asked, as other programs do: `HTTPS_PROXY` for addresses of HTTPS that `NO_PROXY` does
 * not name. Names in small letters win.
 * @returns undefined where the address is asked directly
 * @throws MstoreError `usage` when what the environment says is no proxy that can be used
 */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv): URL | undefined {
  const given = (env['https_proxy'] ?? env['HTTPS_PROXY'] ?? '').trim();
  if (given === '' || url.protocol !== 'https:') return undefined;
  if (isDirect(url, env['no_proxy'] ?? env['NO_PROXY'] ?? '')) return undefined;
  const whole = given.includes('://') ? given : `http://${given}`;
  const proxy = URL.canParse(whole) ? new URL(whole) : undefined;
  if (proxy?.protocol === 'http:' || proxy?.protocol === 'https:') return proxy;
  // The value may hold a password.
  throw new MstoreError('usage', 'HTTPS_PROXY names no proxy that speaks HTTP', {
    hint: 'Set it to http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, or unset it',
  });
}

function isDirect({ hostname, port }: URL, list: string): boolean {
  const host = withoutBrackets(hostname);
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((rule) => {
      if (rule === '*') return true;
      const [, name = rule, ruledPort] = /^(\[.*\]|[^:]+):(\d+)$/.exec(rule) ?? [];
      if (ruledPort !== undefined && ruledPort !== (port === '' ? '443' : port)) return false;
      const domain = withoutBrackets(name.replace(/^\*?\./, ''));
      return domain !== '' && (host === domain || host.endsWith(`.${domain}`));
    });
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

/** A proxy does not connect to a host. */
class ProxyRefusal extends Error {
  /** Errors of requests are known by their codes. */
  readonly code = 'ERR_PROXY_REFUSAL';
  readonly status: number;

  constructor(status: number) {
    super(`The proxy answers HTTP ${status}`);
    this.status = status;
  }
}

/** Makes an agent whose connections go by a proxy, and are kept for further requests. */
export async function proxyAgent(
  proxy: URL,
  tls: tls.SecureContextOptions = {},
): Promise<http.Agent> {
  const { HttpsProxyAgent } = await import('./proxy-sdk.ts');
  const agent = new HttpsProxyAgent(proxy, { keepAlive: true, ...tls });
  // Left alone, an answer of the proxy would be taken for one of the host.
  agent.on(
    'proxyConnect',
    ({ statusCode }: { statusCode: number }, request: http.ClientRequest) => {
      if (statusCode !== 200) request.destroy(new ProxyRefusal(statusCode));
    },
  );
  return agent;
}

/** Makes the error of a proxy that does not connect to a host; undefined for another failure. */
export function proxyError(error: unknown, where: string, proxy: URL): MstoreError | undefined {
  if (!(error instanceof ProxyRefusal)) return undefined;
  const { status } = error;
  const said = { said: `HTTP ${status}`, status, cause: error };
  const what = `the proxy ${proxy.host} does not connect to it`;
  if (status >= 500) return sourceError(unreachable('proxy', what), where, said);
  const hint =
    status === 407
      ? 'Put user and password into HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT'
      : 'Ask who runs the proxy to let this host through, or name the host in NO_PROXY';
  return sourceError(refused('proxy', what, hint), where, said);
}
