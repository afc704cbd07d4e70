import * as fs from 'node:fs';
import * as path from 'node:path';
import type { MstoreError } from '../../src/base/errors.ts';
import { rollback } from '../../src/flow/environments.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import type { Surroundings } from '../../src/flow/surroundings.ts';
import type { LookResult } from '../../src/flow/sync/look.ts';
import type { SyncOptions } from '../../src/flow/sync/session.ts';
import { syncOnce } from '../../src/flow/sync/sync.ts';
import { type SyncEvent, syncWatch, type WatchOptions } from '../../src/flow/sync/watch.ts';
import { makeHost, makePublished, type Published, textsBelow } from './resolving.ts';

/** A host that follows production of `bert` in a directory. */
export interface Follower {
  readonly directory: string;
  readonly surroundings: Surroundings;
  /** Warnings so far. */
  readonly warnings: string[];
  /** What commands printed so far. */
  printed(): string;
  options(more?: Partial<SyncOptions>): SyncOptions;
  once(more?: Partial<SyncOptions>): Promise<LookResult>;
  /** Fails if it does not; returns the error. */
  refused(more?: Partial<SyncOptions>): Promise<MstoreError>;
  watch(more?: Partial<WatchOptions>): Watching;
  at(name: string): string;
  /** What `current` leads to. */
  live(): string | undefined;
  /** The files of what is live. */
  texts(): Record<string, string>;
  receipt(): Record<string, unknown> | undefined;
}

/** A run that goes on. */
export interface Watching {
  readonly events: SyncEvent[];
  /** Waits for an event that was not there before this was asked. */
  next(event: SyncEvent['event']): Promise<SyncEvent>;
  /** What SIGHUP does. */
  wake(): void;
  stop(): Promise<void>;
}

/** Makes a {@link Follower}; time goes on only where it is waited for. */
export function makeFollower(
  remote: string,
  more: Partial<Surroundings> = {},
  env: NodeJS.ProcessEnv = {},
): Follower {
  const { folder, surroundings } = makeHost(env, more);
  const directory = path.join(folder, 'srv');
  const warnings: string[] = [];
  const output: Buffer[] = [];
  const at = (name: string): string => path.join(directory, name);
  const options = (given: Partial<SyncOptions> = {}): SyncOptions => ({
    model: 'bert',
    environment: 'production',
    to: directory,
    cwd: folder,
    remotes: [remote],
    jobs: 1,
    warn: (text) => void warnings.push(text),
    output: (bytes) => void output.push(Buffer.from(bytes)),
    ...given,
  });
  const once = (given?: Partial<SyncOptions>) => syncOnce(options(given), surroundings);
  return {
    directory,
    surroundings,
    warnings,
    printed: () => Buffer.concat(output).toString(),
    options,
    once,
    refused: (given) =>
      once(given).then(
        (result) => {
          throw new Error(`It did not fail: ${JSON.stringify(result)}`);
        },
        (error: MstoreError) => error,
      ),
    watch: (given = {}) => startWatching(options(given), given, surroundings),
    at,
    live: () => (fs.existsSync(at('current')) ? fs.readlinkSync(at('current')) : undefined),
    texts: () => textsBelow(fs.realpathSync(at('current'))),
    receipt: () =>
      fs.existsSync(at('receipt.json'))
        ? (JSON.parse(fs.readFileSync(at('receipt.json'), 'utf8')) as Record<string, unknown>)
        : undefined,
  };
}

function startWatching(
  options: SyncOptions,
  given: Partial<WatchOptions>,
  surroundings: Surroundings,
): Watching {
  const events: SyncEvent[] = [];
  const waiting: Array<{
    event: string;
    done: (event: SyncEvent) => void;
    fail: (error: unknown) => void;
  }> = [];
  const ending = new AbortController();
  let wake = (): void => {};
  // Rests for a moment only, so that a test does not wait for the usual time.
  const sleep: Surroundings['sleep'] = async (_, signal) => {
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
      signal?.addEventListener('abort', resolve, { once: true });
    });
  };
  const done = syncWatch(
    {
      ...options,
      ...given,
      signal: ending.signal,
      onWake: (work) => {
        wake = work;
      },
      onEvent: (event) => {
        events.push(event);
        for (const one of waiting.splice(0)) {
          if (one.event === event.event) one.done(event);
          else if (event.event === 'failed') one.fail(event.error);
          else waiting.push(one);
        }
      },
    },
    { ...surroundings, sleep },
  );
  let failure: unknown;
  done.catch((error: unknown) => {
    failure = error;
  });
  return {
    events,
    next: (event) =>
      new Promise((resolve, reject) => {
        waiting.push({ event, done: resolve, fail: reject });
        done.then(() => reject(failure ?? new Error(`It ended before ${event}`)), reject);
      }),
    wake: () => wake(),
    async stop() {
      ending.abort();
      await done;
    },
  };
}

/** Goes back in production. */
export async function goBack(ws: Published, to: string): Promise<void> {
  const workspace = await ws.open();
  const remote = await chooseRemote(workspace, undefined, ws.root);
  await rollback(workspace, { model: 'bert', environment: 'production', to }, { remote });
}

/** Three versions on a remote, of which the first is live, and a host that follows. */
export async function publishedAndFollowed(
  versions: Readonly<Record<string, Readonly<Record<string, string | Buffer>>>>,
): Promise<{ ws: Published; follower: Follower }> {
  const ws = await makePublished();
  for (const [version, files] of Object.entries(versions)) await ws.publish(version, files);
  const [first = ''] = Object.keys(versions);
  await ws.deploy(first);
  return { ws, follower: makeFollower(ws.remote) };
}
