import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import * as net from 'node:net';
import { onTestFinished } from 'vitest';

/** A proxy that connects to hosts. */
export interface ConnectProxy {
  /** `HOST:PORT` */
  readonly host: string;
  /** Hosts that were asked for, with the credentials that came along. */
  readonly asked: Array<{ readonly host: string; readonly authorization: string | undefined }>;
  /** Statuses of the next answers; 200 when there is none left. */
  readonly statuses: number[];
}

/** Starts a {@link ConnectProxy} on loopback; it ends with the test. */
export async function startConnectProxy(): Promise<ConnectProxy> {
  const asked: ConnectProxy['asked'] = [];
  const statuses: number[] = [];
  const open = new Set<net.Socket>();
  const server = http.createServer((_, response) => void response.writeHead(405).end());
  server.on('connect', ({ url = '', headers }, near: net.Socket) => {
    asked.push({ host: url, authorization: headers['proxy-authorization'] });
    const status = statuses.shift() ?? 200;
    if (status !== 200)
      return void near.end(`HTTP/1.1 ${status} No\r\ncontent-length: 2\r\n\r\nno`);
    const [host = '', port] = url.split(':');
    const far = net.connect(Number(port), host, () => {
      near.write('HTTP/1.1 200 Connected\r\n\r\n');
      near.pipe(far).pipe(near);
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked, statuses };
}
