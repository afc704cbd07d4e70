import { programVersion } from '../base/version.ts';

/** The part of `run.ts` that is called from outside of the bundle. */
export type CommandLine = Pick<typeof import('./run.ts'), 'runCommandLine'>;

/**
 * Runs the command line. The version is told before anything else is loaded.
 * @param load loads the bundle; by default from the file beside this one
 * @returns the exit code
 */
export async function main(
  argv: readonly string[],
  load: () => Promise<CommandLine> = loadBeside,
): Promise<number> {
  if (argv.length === 1 && argv[0] === '--version') {
    process.stdout.write(`${programVersion()}\n`);
    return 0;
  }
  const { runCommandLine } = await load();
  return runCommandLine(argv, programVersion());
}

async function loadBeside(): Promise<CommandLine> {
  const { loadCompiled } = await import('./compiled.ts');
  return loadCompiled(new URL('./run.js', import.meta.url)) as CommandLine;
}
