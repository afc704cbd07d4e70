import { vi } from 'vitest';
import { runCommandLine } from '../../src/cli/run.ts';
import type { CliDocument } from './cli.ts';
import { cliEnv } from './cli.ts';

/** How a run of the command line in this process ended. */
export interface HereResult {
  readonly code: number;
  readonly json: CliDocument;
  readonly text: string;
}

/**
 * Runs the command line in this process, with `--json`: many runs cost less so than a process each. What it is
 * like from outside is for tests that start it.
 */
export async function runHere(root: string, ...args: string[]): Promise<HereResult> {
  process.stdout.setMaxListeners(0);
  process.stderr.setMaxListeners(0);
  const parts: string[] = [];
  for (const [name, value] of Object.entries(cliEnv)) vi.stubEnv(name, value);
  const write = (part: string | Uint8Array, done?: unknown): boolean => {
    parts.push(Buffer.from(part as string).toString());
    if (typeof done === 'function') done();
    return true;
  };
  const spies = [process.stdout, process.stderr].map((stream) => {
    return vi.spyOn(stream, 'write').mockImplementation(write as typeof stream.write);
  });
  try {
    const code = await runCommandLine(['--json', '-C', root, ...args], '0.0.0');
    const text = parts.join('');
    return { code, text, json: parsed(text) };
  } finally {
    for (const spy of spies) spy.mockRestore();
    vi.unstubAllEnvs();
  }
}

function parsed(text: string): CliDocument {
  try {
    return JSON.parse(text) as CliDocument;
  } catch {
    return {};
  }
}
