import { systemClock, systemRandom } from '../../src/base/clock.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import {
  type RetryOptions,
  type RetryPolicy,
  retrying,
  retryPolicy,
} from '../../src/remote/wrappers/retry.ts';

/** How a test opens a remote on a service. */
export interface TargetOptions {
  readonly policy?: RetryPolicy;
  readonly stallMsMax?: number;
  readonly partBytes?: number;
}

/** A bucket of a service that tests make remotes on, whoever made the service. */
export interface ServiceTarget {
  readonly name: string;
  /** URL of the service. */
  readonly endpoint: string;
  /** Returns the same service by way of another URL. */
  at(endpoint: string): ServiceTarget;
  /** URL of a remote in a folder of the bucket. */
  url(folder: string): string;
  /** What the configuration must say of such a remote, by the last part of the key. */
  readonly settings: Readonly<Record<string, string | boolean>>;
  /** Makes a remote of a folder of the bucket, which tries nothing twice but what the policy is for. */
  remote(folder: string, options?: TargetOptions): RemotePruner;
}

let folders = 0;

/** Names a folder that no test has used. */
export function freshFolder(): string {
  return `run-${process.pid}-${systemRandom.hex(4)}-${++folders}`;
}

/** Makes a remote that is tried again as the command line does, but with short waits. */
export function patientRemote(
  target: ServiceTarget,
  folder: string,
  retries: Partial<RetryOptions> = {},
  options: TargetOptions = {},
): RemotePruner {
  const short = { waitMsFirst: 1, waitMsMax: 20 };
  const policy = retryPolicy({ clock: systemClock, random: systemRandom, ...short, ...retries });
  return retrying(target.remote(folder, { ...options, policy }), policy);
}
