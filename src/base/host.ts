import { readFileSync, readlinkSync } from 'node:fs';
import { hostname, uptime } from 'node:os';
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
  /** The machine, and the time since its start, where they are known: for what may outlive a start. */
  readonly machine?: string;
  readonly boot?: string;
}

/** Returns this process as an owner. */
export function thisOwner(): Owner {
  return { host: hostToken(), pid: process.pid, machine: machineToken(), boot: bootToken() };
}

/** Names this machine, whenever it was started: copies of one image differ by their host names. */
function machineToken(): string {
  const id = readOrEmpty(() => readFileSync('/etc/machine-id', 'utf8').trim());
  return sha256(`${hostname()}\n${id}`).slice(0, 12);
}

/** Parses the JSON of an owner, which may hold other keys; undefined when it is none. */
export function parseOwner(text: string): Owner | undefined {
  try {
    const { host, pid, machine, boot } = JSON.parse(text) as Partial<Owner>;
    if (typeof host !== 'string' || typeof pid !== 'number') return undefined;
    const known = typeof machine === 'string' && typeof boot === 'string' && boot !== '';
    return known ? { host, pid, machine, boot } : { host, pid };
  } catch {
    return undefined;
  }
}

/** Foreign owners cannot be asked; they count as gone after a day without a sign of life. */
const foreignOwnerGoneMs = 24 * 60 * 60 * 1000;

/**
 * Tells whether the owner has surely ended. One of this machine that touched its file last before the
 * machine was started has: a power cut leaves locks behind.
 * @param idleMs milliseconds since the owner last touched its file
 */
export function ownerIsGone(owner: Owner, idleMs: number): boolean {
  if (owner.host === hostToken()) return owner.pid !== process.pid && !processRuns(owner.pid);
  return endedByStart(owner, idleMs) || idleMs > foreignOwnerGoneMs;
}

/**
 * Tells whether the owner ran on this machine and ended with an earlier start of it.
 * @param idleMs milliseconds since the owner gave a sign of life
 */
export function endedByStart({ machine, boot }: Owner, idleMs: number): boolean {
  const isEarlier = boot !== undefined && bootToken() !== '' && boot !== bootToken();
  return machine === machineToken() && isEarlier && idleMs > uptime() * 1000;
}
