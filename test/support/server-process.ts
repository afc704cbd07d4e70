import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Where a server runs: everything it keeps is below its folder. */
export interface ServerPlace {
  readonly folder: string;
  /** A port of the loopback that was free a moment ago. */
  readonly port: number;
}

/** How to start a server. */
export interface ServerStart {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** What shows that it is up: an answer by HTTP, unless this says otherwise. */
  readonly up?: 'takes connections' | 'started';
  /** Milliseconds that it may take until it is up. */
  readonly msMax?: number;
  /** It starts processes of its own, which end with it. */
  readonly isGroup?: boolean;
}

const startMsMax = 60_000;
const endMsMax = 10_000;
const starts = 3;
const running = new Set<() => Promise<void>>();

/** Ends all servers that were started here, and removes their folders: what a test file does after all. */
export async function endServers(): Promise<void> {
  await Promise.all([...running].map((end) => end()));
}

/**
 * Starts a server of somebody else's make in a temporary folder, and waits until it answers. It runs until
 * {@link endServers}, or until this process ends. Throws with what the server printed when it does not
 * come up.
 */
export async function startServerProcess(
  prepare: (place: ServerPlace) => ServerStart | Promise<ServerStart>,
): Promise<ServerPlace> {
  const folder = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'mstore-server-'));
  for (let start = 1; ; start++) {
    const place = { folder, port: await freePort() };
    const { program, args, env, up, msMax, isGroup = false } = await prepare(place);
    const log = path.join(folder, 'server.log');
    const output = fs.openSync(log, 'w');
    const child = spawn(program, args, {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', output, output],
      detached: isGroup,
    });
    fs.closeSync(output);
    const kill = (signal: NodeJS.Signals): void => {
      if (isGroup && child.pid !== undefined) killGroup(child.pid, signal);
      else child.kill(signal);
    };
    const end = endWith(child, folder, kill);
    if (up === 'started' || (await comesUp(child, place.port, up, msMax))) return place;
    const said = fs.readFileSync(log, 'utf8');
    if (start === starts) {
      await end();
      throw new Error(`${path.basename(program)} does not start:\n${said.slice(-4000)}`);
    }
    kill('SIGKILL');
  }
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It is gone.
  }
}

/** Lets a process end, and its folder go, with {@link endServers} or with this process. */
function endWith(
  child: ChildProcess,
  folder: string,
  signal: (name: NodeJS.Signals) => void,
): () => Promise<void> {
  const kill = () => signal('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const end = async () => {
    running.delete(end);
    signal('SIGTERM');
    const late = setTimeout(kill, endMsMax);
    await ended;
    clearTimeout(late);
    process.removeListener('exit', kill);
    fs.rmSync(folder, { recursive: true, force: true });
  };
  running.add(end);
  return end;
}

async function comesUp(
  child: ChildProcess,
  port: number,
  up: ServerStart['up'],
  msMax = startMsMax,
): Promise<boolean> {
  const isUp = up === undefined ? answers : takesConnections;
  let failed = false;
  child.once('error', () => {
    failed = true;
  });
  const until = Date.now() + msMax;
  while (Date.now() < until && !failed && child.exitCode === null && child.signalCode === null) {
    if (await isUp(port)) return true;
    await delay(50);
  }
  return false;
}

async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`, {
      signal: AbortSignal.timeout(2000),
    });
    await response.arrayBuffer();
    // It may listen before it can do anything, and say so.
    return response.status < 500;
  } catch {
    return false;
  }
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    const end = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

/** Finds a port that nobody listens at. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
