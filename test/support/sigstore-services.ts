import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  X509Certificate,
} from 'node:crypto';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  fulcioHandler,
  initializeCA,
  initializeCTLog,
  initializeTLog,
  rekorHandler,
} from '@sigstore/mock';
import type { JsonObject } from '../../src/base/json.ts';

/** An authority, a log of its certificates and a log of signatures, as Sigstore runs them, on the loopback. */
export interface SigstoreServices {
  readonly url: string;
  /** What somebody has to have who trusts them. */
  readonly trustedRoot: JsonObject;
  /** The same for clients in Python, which keep it with places to sign at. */
  readonly trustConfig: JsonObject;
  /** What was asked for, and what came with it. */
  readonly requests: ReadonlyArray<{ readonly path: string; readonly body: string }>;
  /** Answers the next requests for a path in another way. */
  fail(path: string, status: number, times: number): void;
  close(): Promise<void>;
}

const paths = { certificate: '/api/v2/signingCert', entry: '/api/v1/log/entries' } as const;

/** Options of {@link startSigstore}. */
export interface SigstoreOptions {
  /** When certificates are made; a minute ago by default, so that all of a test are valid at once. */
  readonly authorityTime?: Date;
  /** Whether there is a log of certificates; true by default. */
  readonly hasCertificateLog?: boolean;
  /** When entries of the log are made; now by default. */
  readonly logTime?: Date;
}

/** What the log answers, by the names of entries. */
type LogEntry = Record<string, { body?: unknown; verification?: { inclusionProof?: object } }>;

/** Starts services that trust every token, and what it says. */
export async function startSigstore(options: SigstoreOptions = {}): Promise<SigstoreServices> {
  const [forAuthority, forCertificates, forLog] = [keyPair(), keyPair(), keyPair()];
  const { authorityTime = new Date(Date.now() - 60_000), hasCertificateLog = true } = options;
  const certificateLog = await initializeCTLog(forCertificates, authorityTime);
  const submitted = hasCertificateLog ? certificateLog : undefined;
  const authority = await initializeCA(forAuthority, submitted, authorityTime);
  const log = await initializeTLog('https://log.example.com', forLog, options.logTime);
  const issue = fulcioHandler(authority).fn;
  const note = rekorHandler({
    ...log,
    log: async (entry) => secondOf((await log.log(asKept(entry))) as LogEntry, forLog.privateKey),
  }).fn;
  const requests: { path: string; body: string }[] = [];
  const failures: { path: string; status: number }[] = [];
  const server = http.createServer(async (request, response) => {
    const path = request.url ?? '';
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    requests.push({ path, body });
    const failing = failures.findIndex((one) => one.path === path);
    if (failing !== -1) {
      const [{ status } = { status: 500 }] = failures.splice(failing, 1);
      response.writeHead(status, { 'Content-Type': 'application/json' });
      return response.end(JSON.stringify({ code: status, message: 'Not today' }));
    }
    const answer =
      path === paths.certificate
        ? await issue(body)
        : path === paths.entry
          ? await note(body)
          : { statusCode: 404, response: 'Nothing is here' };
    response.writeHead(answer.statusCode, { 'Content-Type': answer.contentType ?? 'text/plain' });
    response.end(answer.response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const trustedRoot = {
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [trustedLog(log.publicKey, 'https://log.example.com')],
    certificateAuthorities: [
      {
        subject: { organization: 'sigstore.mock', commonName: 'sigstore' },
        uri: url,
        certChain: { certificates: [{ rawBytes: base64(authority.rootCertificate) }] },
        validFor: { start: '2020-01-01T00:00:00Z' },
      },
    ],
    ctlogs: hasCertificateLog
      ? [trustedLog(certificateLog.publicKey, 'https://certificates.example.com')]
      : [],
    timestampAuthorities: [],
  };
  return {
    url,
    trustedRoot,
    trustConfig: trustConfig(trustedRoot, url),
    requests,
    fail: (path, status, times) =>
      failures.push(...Array.from({ length: times }, () => ({ path, status }))),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Makes a token that says who somebody is. Nobody signed it. */
export function identityToken(claims: JsonObject): string {
  const part = (value: JsonObject) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 600;
  return `${part({ alg: 'none' })}.${part({ aud: 'sigstore', exp, ...claims })}.${part({})}`;
}

function keyPair() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

/** What the log makes of a proposed entry: it keeps digests and signatures, and leaves the statement out. */
function asKept(proposed: object): object {
  const { spec, ...kind } = proposed as {
    spec: { proposedContent: { envelope: string; verifiers: string[] } };
  };
  const { envelope, verifiers } = spec.proposedContent;
  const { payload, signatures } = JSON.parse(envelope) as {
    payload: string;
    signatures: { sig: string }[];
  };
  const digest = (bytes: Buffer | string) => ({
    algorithm: 'sha256',
    value: createHash('sha256').update(bytes).digest('hex'),
  });
  return {
    ...kind,
    spec: {
      envelopeHash: digest(envelope),
      payloadHash: digest(Buffer.from(payload, 'base64')),
      signatures: signatures.map(({ sig }, i) => ({
        signature: sig,
        verifier: relined(verifiers[i]),
      })),
    },
  };
}

/** A certificate in PEM, in base64, in lines of 64 as the log writes it. */
function relined(verifier = ''): string {
  const { raw } = new X509Certificate(Buffer.from(verifier, 'base64'));
  const lines = raw.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  const pem = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
  return Buffer.from(pem).toString('base64');
}

/** Has an entry be the second one of its log, so that its proof has a hash of another one. */
function secondOf(entries: LogEntry, key: KeyObject): LogEntry {
  const hash = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
  const [leaf, node] = [Buffer.of(0), Buffer.of(1)];
  for (const { body, verification } of Object.values(entries)) {
    const first = hash(leaf, Buffer.from('another entry'));
    const root = hash(node, first, hash(leaf, Buffer.from(String(body), 'base64')));
    const proof = verification?.inclusionProof as { checkpoint?: string } | undefined;
    const text = proof?.checkpoint ?? '';
    const [origin = '', , , time] = text.split('\n');
    const note = [origin, '2', root.toString('base64'), time, ''].join('\n');
    const id = createHash('sha256').update(publicDer(key)).digest().subarray(0, 4);
    const mark = Buffer.concat([id, sign('sha256', Buffer.from(note), key)]).toString('base64');
    Object.assign(proof ?? {}, {
      ...{ logIndex: 1, treeSize: 2, hashes: [first.toString('hex')] },
      ...{ rootHash: root.toString('hex') },
      checkpoint: `${note}\n\u2014 ${origin.split(' ')[0]} ${mark}\n`,
    });
  }
  return entries;
}

function publicDer(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' });
}

function trustedLog(publicKey: Buffer, baseUrl: string): JsonObject {
  const keyId = createHash('sha256').update(publicKey).digest('base64');
  return {
    baseUrl,
    hashAlgorithm: 'SHA2_256',
    publicKey: {
      rawBytes: base64(publicKey),
      keyDetails: 'PKIX_ECDSA_P256_SHA_256',
      validFor: { start: '2020-01-01T00:00:00Z' },
    },
    logId: { keyId },
  };
}

function trustConfig(trustedRoot: JsonObject, url: string): JsonObject {
  const validFor = { start: '2020-01-01T00:00:00Z' };
  const service = { url, majorApiVersion: 1, validFor, operator: 'sigstore.mock' };
  return {
    mediaType: 'application/vnd.dev.sigstore.clienttrustconfig.v0.1+json',
    trustedRoot,
    signingConfig: {
      mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
      caUrls: [service],
      oidcUrls: [service],
      rekorTlogUrls: [service],
      tsaUrls: [],
      rekorTlogConfig: { selector: 'ANY' },
      tsaConfig: { selector: 'ANY' },
    },
  };
}

function base64({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength).toString('base64');
}
