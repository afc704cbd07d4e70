import { createHash } from 'node:crypto';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request and its answer, as a real server gave it. */
export interface Exchange {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** Text of the body; of other bytes their digest and number. */
  readonly request?: string;
  readonly status: number;
  readonly type?: string;
  readonly response?: string;
}

/** Texts that differ from run to run, and what stands for them in a transcript. */
export type Marks = Readonly<Record<string, string>>;

/** A server on loopback that records or replays. */
export interface TranscriptServer {
  readonly uri: string;
  /** What was recorded; what was not asked for, when it replays. */
  readonly exchanges: Exchange[];
  /** Requests that the transcript does not have. */
  readonly unexpected: string[];
  stop(): Promise<void>;
}

/** What goes wrong with a request: it is refused for now, its connection breaks before it is done, or after. */
export type TranscriptFault = 'busy' | 'broken' | 'silent';

/** Chooses what goes wrong with a request. */
export type Faults = (method: string, path: string) => TranscriptFault | undefined;

const noFaults: Faults = () => undefined;

/** Lets each request that writes go wrong once, in one way. */
export function onceEach(fault: TranscriptFault): Faults {
  const seen = new Set<string>();
  return (method, path) => {
    const key = `${method} ${path}`;
    if (method === 'GET' || seen.has(key)) return undefined;
    seen.add(key);
    return fault;
  };
}

/** Stands between a client and a real server, and writes down what they say. */
export function record(
  upstream: string,
  marks: () => Marks,
  faults: Faults = noFaults,
): Promise<TranscriptServer> {
  const exchanges: Exchange[] = [];
  return listen({ exchanges, unexpected: [] }, faults, async (request, body, send) => {
    const answer = await forward(new URL(request.url ?? '', upstream), request, body);
    const type = answer.headers['content-type'];
    const said = { ...marks(), server: new URL(upstream).host };
    exchanges.push({
      method: request.method ?? '',
      path: marked(request.url ?? '', said),
      ...(body.length === 0 ? {} : { request: marked(textOf(body), said) }),
      status: answer.status,
      ...(type === undefined ? {} : { type }),
      ...(answer.body.length === 0 ? {} : { response: marked(answer.body.toString('utf8'), said) }),
    });
    send(answer.status, type === undefined ? {} : { 'content-type': type }, answer.body);
  });
}

/** Answers as a real server did, as long as the client asks what it asked then. */
export function replay(
  transcript: readonly Exchange[],
  marks: () => Marks,
  faults: Faults = noFaults,
): Promise<TranscriptServer> {
  const left = { exchanges: [...transcript], unexpected: [] as string[] };
  return listen(left, faults, async ({ method = '', url = '' }, body, send) => {
    const path = marked(url, marks());
    const text = body.length === 0 ? undefined : marked(textOf(body), marks());
    const at = left.exchanges.findIndex(
      (one) => one.method === method && one.path === path && one.request === text,
    );
    const [found] = at === -1 ? [] : left.exchanges.splice(at, 1);
    if (found === undefined) left.unexpected.push(`${method} ${path} ${text ?? ''}`);
    const { status = 418, type = 'text/plain', response: said = '' } = found ?? {};
    send(status, { 'content-type': type }, unmarked(said, marks()));
  });
}

/** Puts names in the place of texts that differ from run to run. */
function marked(text: string, marks: Marks): string {
  return Object.entries(marks).reduce(
    (all, [name, value]) => all.replaceAll(value, `{{${name}}}`),
    text,
  );
}

function unmarked(text: string, marks: Marks): string {
  return Object.entries(marks).reduce(
    (all, [name, value]) => all.replaceAll(`{{${name}}}`, value),
    text,
  );
}

function textOf(body: Buffer): string {
  const text = body.toString('utf8');
  if (Buffer.from(text).equals(body) && body.length < 10_000) return text;
  return `${body.length} bytes, sha256 ${createHash('sha256').update(body).digest('hex')}`;
}

type Handle = (
  request: http.IncomingMessage,
  body: Buffer,
  answer: (status: number, headers: http.OutgoingHttpHeaders, text: string | Buffer) => void,
) => Promise<void>;

async function listen(
  kept: Pick<TranscriptServer, 'exchanges' | 'unexpected'>,
  faults: Faults,
  handle: Handle,
): Promise<TranscriptServer> {
  const server = http.createServer(async (request, response) => {
    const blocks: Buffer[] = [];
    for await (const block of request) blocks.push(block as Buffer);
    const fault = faults(request.method ?? '', request.url ?? '');
    if (fault === 'busy') return void response.writeHead(503).end('Try again');
    if (fault === 'broken') return void request.socket.resetAndDestroy();
    await handle(request, Buffer.concat(blocks), (status, headers, text) => {
      // What was asked for is done, and nobody learns of it.
      if (fault === 'silent') return void request.socket.resetAndDestroy();
      response.writeHead(status, headers).end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    ...kept,
    uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function forward(
  url: URL,
  { method, headers }: http.IncomingMessage,
  body: Buffer,
): Promise<{ status: number; headers: http.IncomingHttpHeaders; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const out = http.request(url, { method, headers: { ...headers, host: url.host } });
    out.once('error', reject);
    out.once('response', async (response) => {
      const blocks: Buffer[] = [];
      for await (const block of response) blocks.push(block as Buffer);
      const { statusCode: status = 0, headers: told } = response;
      resolve({ status, headers: told, body: Buffer.concat(blocks) });
    });
    out.end(body);
  });
}
