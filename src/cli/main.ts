import { programVersion } from '../base/version.ts';

/**
 * Runs the command line. The version is told before anything else is loaded.
 * @returns the exit code
 */
export async function main(argv: readonly string[]): Promise<number> {
  if (argv.length === 1 && argv[0] === '--version') {
    process.stdout.write(`${programVersion()}\n`);
    return 0;
  }
  const { loadCompiled } = await import('./compiled.ts');
  const bundle = new URL('./run.js', import.meta.url);
  const { runCommandLine } = loadCompiled(bundle) as typeof import('./run.ts');
  return runCommandLine(argv, programVersion());
}
