import { defineConfig } from 'vitest/config';

/** Suites of real buckets run where a variable names one: docs/testing.md. */
const buckets = {
  MSTORE_TEST_S3_URL: 'test/interop/s3-bucket.test.ts',
  MSTORE_TEST_GCS_BUCKET: 'test/interop/gcs.test.ts',
};

// biome-ignore lint/style/noDefaultExport: vitest asks for one
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: ['test/interop/**/*.test.ts'],
    exclude: Object.entries(buckets).flatMap(([name, file]) => (process.env[name] ? [] : [file])),
    globalSetup: ['test/tools/build.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // Two at a time: services wait for the disk, and for each other.
    maxWorkers: 2,
  },
});
