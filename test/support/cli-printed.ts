import { vi } from 'vitest';
import { runCommandLine } from '../../src/cli/run.ts';
import { type CliResult, cliEnv } from './cli.ts';

/**
 * Runs the command line in this process, which takes a tenth of the time that starting one does. For tests of
 * what is printed; those of exit codes, signals and streams start a process. One run at a time.
 */
export async function mstoreHere(
  cwd: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Omit<CliResult, 'json'>> {
  const said = { stdout: '', stderr: '' };
  const before = { ...process.env };
  const own = { ...cliEnv, ...env };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation(((
      part: string | Uint8Array,
      ...rest: unknown[]
    ) => {
      said[name] += typeof part === 'string' ? part : Buffer.from(part).toString();
      const done = rest.find((one) => typeof one === 'function');
      (done as (() => void) | undefined)?.();
      return true;
    }) as typeof process.stdout.write),
  );
  replaceEnvironment(own);
  try {
    // The completion has its flag in front.
    const where = args[0]?.startsWith('--get-') ? [] : ['-C', cwd];
    const code = await runCommandLine([...args, ...where], '0.0.0');
    return { code, ...said };
  } finally {
    for (const spy of spies) spy.mockRestore();
    replaceEnvironment(before);
  }
}

function replaceEnvironment(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name];
  Object.assign(process.env, env);
}
