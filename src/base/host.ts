import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { sha256 } from './digest.ts';
import { systemCode } from './errors.ts';

let token: string | undefined;
let boot: string | undefined;

function readOrEmpty(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

/** Names the time since this machine was started; empty where the system does not tell. */
export function bootToken(): string {
  boot ??= readOrEmpty(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  return boot;
}

/**
 * Names the set of processes whose ids can be compared with ours: same host, same boot, same process
 * namespace. Two containers on one host share the first two but not the last.
 */
export function hostToken(): string {
  token ??= sha256(
    [hostname(), bootToken(), readOrEmpty(() => readlinkSync('/proc/self/ns/pid'))].join('\n'),
  ).slice(0, 12);
  return token;
}

/** Tells whether a process of this host runs. A process that may not be signalled runs. */
export function processRuns(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

/** Who made a temporary file or holds a lock. */
export interface Owner {
  readonly host: string;
  readonly pid: number;
}

/** Returns this process as an owner. */
export function thisOwner(): Owner {
  return { host: hostToken(), pid: process.pid };
}

/** Parses the JSON of an owner, which may hold other keys; undefined when it is none. */
export function parseOwner(text: string): Owner | undefined {
  try {
    const { host, pid } = JSON.parse(text) as Partial<Owner>;
    return typeof host === 'string' && typeof pid === 'number' ? { host, pid } : undefined;
  } catch {
    return undefined;
  }
}

/** Foreign owners cannot be asked; they count as gone after a day without a sign of life. */
const foreignOwnerGoneMs = 24 * 60 * 60 * 1000;

/**
 * Tells whether the owner has surely ended.
 * @param idleMs milliseconds since the owner last touched its file
 */
export function ownerIsGone(owner: Owner, idleMs: number): boolean {
  if (owner.host === hostToken()) return owner.pid !== process.pid && !processRuns(owner.pid);
  return idleMs > foreignOwnerGoneMs;
}
