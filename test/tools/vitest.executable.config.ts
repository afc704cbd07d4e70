import { defineConfig } from 'vitest/config';

/** Tests of the command line that look at the package itself, or run it in ways that it alone has. */
const ofPackage = ['test/cli/compiled.test.ts', 'test/cli/tensors-memory.test.ts'];
/** What is refused is refused by the same bundle; two minutes are spent on what differs: parts, threads, signals. */
const ofBundle = 'test/cli/bad-input-{changing,disk,files,paths,pointers,remotes,store}.test.ts';

// biome-ignore lint/style/noDefaultExport: vitest asks for one
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: ['test/cli/**/*.test.ts'],
    exclude: [...ofPackage, ofBundle],
    globalSetup: ['test/tools/executable.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
