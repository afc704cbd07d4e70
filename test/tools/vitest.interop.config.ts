import { defineConfig } from 'vitest/config';

/** Suites of real buckets run where a variable names one: docs/testing.md. */
const named = (process.env['MSTORE_TEST_S3_URL'] ?? '') !== '';

// biome-ignore lint/style/noDefaultExport: vitest asks for one
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: ['test/interop/**/*.test.ts'],
    exclude: named ? [] : ['test/interop/s3-bucket.test.ts'],
    globalSetup: ['test/tools/build.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    fileParallelism: false,
  },
});
