import { sleep } from '../base/abort.ts';
import { type Clock, type Random, systemClock, systemRandom } from '../base/clock.ts';
import type { NamePlatform } from '../base/names.ts';
import { type OpenOptions, openRemote } from '../remote/open.ts';
import type { RemotePruner } from '../remote/remote.ts';

/** How a remote that is a service is reached. */
export type RemoteSettings = NonNullable<OpenOptions['settings']>;

/** What the flows take from their surroundings; all of it can be replaced in tests. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly random: Random;
  /** Waits so many milliseconds, or until the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
  readonly platform: NamePlatform;
  /** Refuses everything that would need a network. */
  readonly offline: boolean;
  /** Opens the remote a URL names; relative paths start from `base`. */
  readonly openRemote: (url: string, options: OpenOptions) => Promise<RemotePruner>;
}

/** Tells whether the environment forbids the network: `MSTORE_OFFLINE`. */
export function offlineIn(env: NodeJS.ProcessEnv): boolean {
  return ['1', 'true', 'yes'].includes((env['MSTORE_OFFLINE'] ?? '').toLowerCase());
}

/** Returns the surroundings of this process. */
export function systemSurroundings(env: NodeJS.ProcessEnv, offline = false): Surroundings {
  return {
    env,
    clock: systemClock,
    random: systemRandom,
    sleep,
    platform: { platform: process.platform },
    offline,
    openRemote,
  };
}
