import * as childProcess from 'node:child_process';
import { throwIfAborted } from '../../base/abort.ts';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { SyncSession } from './session.ts';

/** Commands that run around a switch, each by the shell. */
export interface HookCommands {
  /** Must end with 0 before the switch. */
  readonly check?: string | undefined;
  /** Runs before the switch, when the check has passed; must end with 0 as well. */
  readonly before?: string | undefined;
  /** Runs after the switch; where it fails, the switch is taken back. */
  readonly after?: string | undefined;
  /** Milliseconds that the check may take. */
  readonly checkMsMax?: number | undefined;
  /** Milliseconds that each of the others may take. */
  readonly hookMsMax?: number | undefined;
}

/** When a command runs. */
export type HookStep = 'check' | 'before' | 'after' | 'back';

/** What a command is told. */
export interface HookFacts {
  readonly version: string;
  readonly tree: string;
  readonly record: string;
  /** Absolute. */
  readonly directory: string;
  /** What was live before; undefined where nothing was. */
  readonly previous: string | undefined;
}

const hookMsDefault = 300_000;
/** A command that was asked to end has so long before it is killed. */
const graceMs = 10_000;
/** How long is waited for what a command that has ended printed last. */
const lastWordsMs = 500;
/** Of what a command prints, so much is handed on. */
const outputBytesMax = 1024 * 1024;

/**
 * Runs the command of a step, if there is one.
 * @throws MstoreError `check-refused` when it does not end with 0, or not in time; `interrupted`
 */
export async function runHook(
  session: SyncSession,
  step: HookStep,
  facts: HookFacts,
): Promise<void> {
  const { options, work } = session;
  const { hooks = {} } = options;
  const command = step === 'back' ? hooks.after : hooks[step];
  if (command === undefined) return;
  throwIfAborted(work.signal);
  const msMax = (step === 'check' ? hooks.checkMsMax : hooks.hookMsMax) ?? hookMsDefault;
  const ended = await run(command, {
    env: environmentOf(session, step, facts),
    cwd: options.cwd,
    msMax,
    signal: work.signal,
    output: options.output,
  });
  throwIfAborted(work.signal);
  if (ended === undefined) return;
  throw new MstoreError(
    'check-refused',
    `The command --${step === 'back' ? 'after' : step} ${ended} for ${facts.version}: ${printable(command)}`,
    {
      hint: 'What it printed tells why; it is tried again when the environment has a new entry, or mstore sync is run again',
      details: { step, version: facts.version, ended },
    },
  );
}

function environmentOf(
  { surroundings, options, place }: SyncSession,
  step: HookStep,
  { version, tree, record, directory, previous }: HookFacts,
): NodeJS.ProcessEnv {
  return {
    ...surroundings.env,
    MSTORE_STEP: step,
    MSTORE_MODEL: options.model,
    MSTORE_ENVIRONMENT: options.environment,
    MSTORE_VERSION: version,
    MSTORE_PREVIOUS: previous ?? '',
    MSTORE_DIRECTORY: directory,
    MSTORE_CURRENT: place.at('current'),
    MSTORE_TREE: tree,
    MSTORE_RECORD: record,
  };
}

interface RunOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly msMax: number;
  readonly signal: AbortSignal | undefined;
  readonly output: (bytes: Uint8Array) => void;
}

/** Runs a command to its end; returns how it failed, or undefined. */
function run(
  command: string,
  { env, cwd, msMax, signal, output }: RunOptions,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const isWindows = process.platform === 'win32';
    const child = childProcess.spawn(command, {
      shell: true,
      env,
      cwd,
      // A group of its own, so that what the shell started ends with it.
      detached: !isWindows,
      stdio: ['ignore', 'pipe', 'pipe'],
      windowsHide: true,
    });
    const end = (how: NodeJS.Signals): void => {
      try {
        if (isWindows || child.pid === undefined) child.kill(how);
        else process.kill(-child.pid, how);
      } catch {
        // It has ended meanwhile.
      }
    };
    let isLate = false;
    let killing: NodeJS.Timeout | undefined;
    let waiting: NodeJS.Timeout | undefined;
    const stop = (): void => {
      end('SIGTERM');
      killing ??= setTimeout(() => end('SIGKILL'), graceMs);
    };
    const late = setTimeout(() => {
      isLate = true;
      stop();
    }, msMax);
    signal?.addEventListener('abort', stop, { once: true });
    const hand = bounded(output);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', hand);
    const finish = (how: string | undefined): void => {
      clearTimeout(late);
      clearTimeout(killing);
      clearTimeout(waiting);
      signal?.removeEventListener('abort', stop);
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
      resolve(how);
    };
    child.once('error', (error) => finish(`did not start (${error.message})`));
    child.once('exit', (code, by) => {
      if (isLate) end('SIGKILL');
      const how = outcome(code, by, isLate ? msMax : undefined);
      // What it printed last is still on its way; what it left running may keep its output open for ever.
      child.once('close', () => finish(how));
      waiting = setTimeout(() => finish(how), lastWordsMs);
    });
  });
}

function outcome(
  code: number | null,
  by: NodeJS.Signals | null,
  lateMs: number | undefined,
): string | undefined {
  if (lateMs !== undefined) return `took more than ${lateMs / 1000} s`;
  if (code === 0) return undefined;
  return code === null ? `was ended by ${by}` : `ended with ${code}`;
}

/** Hands on as much as is told of one command. */
function bounded(output: (bytes: Uint8Array) => void): (bytes: Buffer) => void {
  let left = outputBytesMax;
  return (bytes) => {
    if (left <= 0) return;
    output(bytes.subarray(0, left));
    left -= bytes.length;
    if (left <= 0) output(Buffer.from('\n… more was printed, and is not shown\n'));
  };
}
