import { defineConfig } from 'vitest/config';

// biome-ignore lint/style/noDefaultExport: vitest asks for one
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: ['test/long/**/*.test.ts'],
    globalSetup: ['test/tools/build.ts'],
    testTimeout: 24 * 60 * 60_000,
    hookTimeout: 300_000,
    fileParallelism: false,
  },
});
