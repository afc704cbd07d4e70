import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { cliEnv } from './cli.ts';

const bin = path.resolve(import.meta.dirname, '../../bin/mstore.js');

/** What is done to a process at one of its calls. */
export type Fault = 'kill' | 'torn' | 'ENOSPC' | 'EIO' | 'EMFILE' | 'EACCES';

/** A call that a process made below the folder that was watched. */
export interface Call {
  /** Its number among those that can fail, from 1; 0 for one that cannot. */
  readonly number: number;
  readonly name: string;
  /** 0, or an errno below 0. */
  readonly result: number;
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
  /** Where the bytes that were written stand in the file of bytes; -1 for none. */
  readonly data: number;
  readonly path: string;
  /** New name of a rename or link; text of a symbolic link. */
  readonly second: string;
}

/** How the calls of a process are seen and made to fail. */
export interface Injector {
  /** Arguments of Node in front of the program. */
  readonly nodeArgs: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** One run under an injector. */
export interface InjectedRun {
  readonly cwd: string;
  readonly args: readonly string[];
  /** Calls below it count. */
  readonly root: string;
  /** Without one the run is only watched. */
  readonly fault?: { readonly at: number; readonly how: Fault };
  /** File for all bytes that are written. */
  readonly data?: string;
}

/** How a run ended. */
export interface InjectedResult {
  /** Exit code; null for a process that was killed. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly calls: readonly Call[];
}

/** Runs the command line; without an injector as anybody would. */
export async function runInjected(
  injector: Injector | undefined,
  run: InjectedRun,
): Promise<InjectedResult> {
  const log = `${run.root}.calls`;
  fs.rmSync(log, { force: true });
  const env = injector && {
    ...injector.env,
    // One thread for file operations: their order is the same in each run.
    UV_THREADPOOL_SIZE: '1',
    MSTORE_CRASH_ROOT: run.root,
    MSTORE_CRASH_LOG: log,
    MSTORE_CRASH_DATA: run.data ?? '',
    MSTORE_CRASH_AT: String(run.fault?.at ?? 0),
    MSTORE_CRASH_HOW: run.fault?.how ?? '',
  };
  const nodeArgs = [...(injector?.nodeArgs ?? []), bin, ...run.args];
  const child = spawn(process.execPath, nodeArgs, {
    cwd: run.cwd,
    env: { ...cliEnv, MSTORE_CACHE: path.join(run.root, 'cache'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const result = await new Promise<Omit<InjectedResult, 'calls'>>((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      stdout += part;
    });
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      stderr += part;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { ...result, calls: injector === undefined ? [] : readCalls(log) };
}

function readCalls(log: string): Call[] {
  const lines = fs.readFileSync(log, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => {
    const fields = line.split('\t');
    const [number, result, fd, offset, length, data] = [0, 2, 3, 4, 5, 6].map((at) =>
      Number(fields[at]),
    ) as [number, number, number, number, number, number];
    const [name, where, second] = [1, 7, 8].map((at) => fields[at] ?? '') as [
      string,
      string,
      string,
    ];
    return { number, name, result, fd, offset, length, data, path: where, second };
  });
}

const writes = ['write', 'pwrite', 'writev', 'pwritev', 'copy_file_range', 'sendfile'];
const makes = ['create', 'mkdir', 'link', 'symlink', 'ftruncate', 'fallocate'];
const changes = ['rename', 'unlink', 'rmdir', 'remove', 'chmod', 'fchmod'];

/** The faults that are tried at a call. */
export function faultsAt({ number, name, result, length }: Call): Fault[] {
  if (number === 0) return [];
  // What names nothing is asked for as often as what does; other failures are answers.
  if (result < 0) return name === 'open' && result === -2 ? ['EIO', 'EMFILE', 'EACCES'] : [];
  if (name === 'open' || name === 'open-write' || name === 'opendir')
    return ['EIO', 'EMFILE', 'EACCES'];
  if (name === 'read') return ['EIO'];
  if (name === 'fsync' || name === 'fdatasync') return ['ENOSPC', 'EIO'];
  if (writes.includes(name)) {
    return length > 1 ? ['kill', 'torn', 'ENOSPC', 'EIO'] : ['kill', 'ENOSPC', 'EIO'];
  }
  if (name === 'create') return ['kill', 'ENOSPC', 'EIO', 'EMFILE', 'EACCES'];
  if (makes.includes(name)) return ['kill', 'ENOSPC', 'EIO', 'EACCES'];
  if (name === 'rename') return ['kill', 'ENOSPC', 'EIO', 'EACCES'];
  if (changes.includes(name)) return ['kill', 'EIO', 'EACCES'];
  throw new Error(`No faults are known for ${name}`);
}
