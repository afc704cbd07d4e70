import { createHmac } from 'node:crypto';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readCacheDocument, writeCacheFile } from '../base/cache-file.ts';
import type { Clock, Random } from '../base/clock.ts';
import { MstoreError } from '../base/errors.ts';
import { isJsonObject } from '../base/json.ts';
import { printable } from '../base/names.ts';

/** Something that others are told of. */
export interface MonitorEvent {
  /** The same for the same event, whoever tells of it and however often. */
  readonly id: string;
  readonly type: 'environment.moved' | 'monitor.would-move' | 'monitor.blocked';
  /** When, as ISO 8601 in UTC. */
  readonly at: string;
  readonly data: object;
}

/** Messages that wait; when there are more the oldest are given up. */
const waitingMax = 1000;
/** Milliseconds after each failure. */
const retriesMs = [5_000, 30_000, 120_000, 600_000, 3_600_000, 21_600_000] as const;
const answerMsMax = 10_000;
/** Hosts that failed together shall not come back together. */
const jitterShare = 0.2;
/** The queue is looked at so often at least: a clock may be set. */
const sleepMsMax = 60_000;
const kept = { format: 1, bytesMax: 64 * 1024 * 1024 };

interface Message {
  readonly url: string;
  readonly id: string;
  readonly body: string;
  failures: number;
  /** Milliseconds since 1970. */
  dueAt: number;
}

/** What webhooks are made from. */
export interface WebhooksOptions {
  readonly urls: readonly string[];
  /** The key of the signatures, as text; with the prefix `whsec_` in base64. */
  readonly secret: string;
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: { warn(facts: object, text: string): void };
}

/**
 * Tells others by POST, signed as the Standard Webhooks specification says (https://www.standardwebhooks.com). Each message is tried
 * again for hours; what waits is kept on the disk.
 */
export class Webhooks {
  readonly #options: WebhooksOptions;
  readonly #key: Buffer;
  readonly #file: string;
  readonly #stop = new AbortController();
  #waiting: Message[];
  #wake = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  /** @throws MstoreError `usage` for an address that is no URL of HTTP, or no secret */
  constructor(options: WebhooksOptions) {
    this.#options = options;
    for (const url of options.urls) checkUrl(url);
    this.#key = keyOf(options.secret);
    this.#file = path.join(options.stateFolder, 'webhooks.json');
    this.#waiting = readWaiting(this.#file).filter(({ url }) => options.urls.includes(url));
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Takes an event on, for each address. */
  tell({ id, type, at, data }: MonitorEvent): void {
    const body = JSON.stringify({ type, timestamp: at, data });
    const dueAt = this.#options.clock.now();
    for (const url of this.#options.urls) {
      this.#waiting.push({ url, id, body, failures: 0, dueAt });
    }
    const over = this.#waiting.splice(0, Math.max(0, this.#waiting.length - waitingMax));
    for (const message of over) this.#giveUp(message, 'too many others wait');
    this.#keep();
    this.#wake.abort();
  }

  /** Ends; what waits is kept for the next start. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#loop;
    this.#keep();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const now = this.#options.clock.now();
      const due = this.#waiting.filter(({ dueAt }) => dueAt <= now || dueAt > now + dueMsMax);
      // To each address in their order, and to all of them at once.
      await Promise.all(this.#options.urls.map((url) => this.#sendAll(due, url)));
      const next = Math.min(...this.#waiting.map(({ dueAt }) => dueAt));
      const ms = Math.min(sleepMsMax, Math.max(10, next - this.#options.clock.now()));
      const wake = AbortSignal.any([signal, this.#wake.signal]);
      await delay(ms, undefined, { signal: wake }).catch(() => {});
      this.#wake = new AbortController();
    }
  }

  async #sendAll(due: readonly Message[], url: string): Promise<void> {
    for (const message of due) {
      if (message.url !== url || this.#stop.signal.aborted) continue;
      await this.#send(message);
    }
  }

  async #send(message: Message): Promise<void> {
    const { clock, random } = this.#options;
    const failure = await this.#post(message);
    if (this.#stop.signal.aborted && failure !== undefined) return;
    const wait = retriesMs[message.failures];
    if (failure === undefined || wait === undefined) {
      this.#waiting = this.#waiting.filter((one) => one !== message);
      if (failure !== undefined) this.#giveUp(message, failure);
    } else {
      message.failures++;
      const share = 1 + (2 * random.fraction() - 1) * jitterShare;
      message.dueAt = clock.now() + wait * share;
      const facts = { url: hostOf(message.url), id: message.id, failures: message.failures };
      this.#options.log.warn(facts, `A webhook could not be told: ${failure}`);
    }
    this.#keep();
  }

  /** @returns why it failed; undefined where it was taken */
  async #post({ url, id, body }: Message): Promise<string | undefined> {
    const timestamp = String(Math.floor(this.#options.clock.now() / 1000));
    const signature = signatureOf(this.#key, id, timestamp, body);
    try {
      const answer = await fetch(url, {
        method: 'POST',
        redirect: 'manual',
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': timestamp,
          'webhook-signature': `v1,${signature}`,
        },
        body,
        signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(answerMsMax)]),
      });
      await answer.body?.cancel();
      return answer.ok ? undefined : `it answers ${answer.status}`;
    } catch (error) {
      return error instanceof Error && error.name === 'TimeoutError'
        ? 'it does not answer'
        : 'it cannot be reached';
    }
  }

  #giveUp({ url, id }: Message, why: string): void {
    this.#options.log.warn({ url: hostOf(url), id }, `A webhook is given up: ${why}`);
  }

  #keep(): void {
    const { format } = kept;
    writeCacheFile(this.#file, JSON.stringify({ format, waiting: this.#waiting }));
  }
}

/** The longest time that a message may wait, with its jitter. */
const dueMsMax = Math.max(...retriesMs) * (1 + jitterShare);

/** Signs a message. */
function signatureOf(key: Buffer, id: string, timestamp: string, body: string): string {
  return createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
}

const secretPrefix = 'whsec_';

/** Reads a secret: base64 behind its prefix, else text. */
function keyOf(secret: string): Buffer {
  const isCoded = secret.startsWith(secretPrefix);
  const key = isCoded
    ? Buffer.from(secret.slice(secretPrefix.length), 'base64')
    : Buffer.from(secret);
  if (key.length >= 16) return key;
  throw new MstoreError(
    'usage',
    'Webhooks are signed, and MSTORE_NOTIFY_SECRET holds no key of 16 bytes or more',
    {
      hint: 'Draw one: openssl rand -hex 32',
    },
  );
}

function checkUrl(url: string): void {
  if (URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol)) return;
  throw new MstoreError('usage', `${printable(url)} is no URL that can be told`, {
    hint: 'Write --notify https://HOST/PATH',
  });
}

/** Paths of webhooks are often secrets. */
function hostOf(url: string): string {
  return new URL(url).host;
}

function readWaiting(file: string): Message[] {
  const waiting: unknown = readCacheDocument(file, kept.format, kept.bytesMax)?.['waiting'];
  if (!Array.isArray(waiting)) return [];
  return (waiting as unknown[]).filter(isMessage).slice(-waitingMax);
}

function isMessage(value: unknown): value is Message {
  if (!isJsonObject(value)) return false;
  const { url, id, body, failures, dueAt } = value;
  const areTexts = [url, id, body].every((text) => typeof text === 'string');
  return areTexts && Number.isInteger(failures) && typeof dueAt === 'number';
}
