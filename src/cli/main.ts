import * as fs from 'node:fs';

/**
 * Runs the command line. The version is told before anything else is loaded.
 * @returns the exit code
 */
export async function main(argv: readonly string[]): Promise<number> {
  if (argv.length === 1 && argv[0] === '--version') {
    process.stdout.write(`${version()}\n`);
    return 0;
  }
  const { runCommandLine } = await import('./run.ts');
  return runCommandLine(argv, version());
}

/** The version in package.json. */
function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(fs.readFileSync(file, 'utf8')) as { version: string }).version;
}
