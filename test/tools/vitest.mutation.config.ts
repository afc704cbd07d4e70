import { defineConfig } from 'vitest/config';

/** The tests that run once for each change of `npm run mutation`: those of the layers below the flows. */
// biome-ignore lint/style/noDefaultExport: vitest asks for one
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: [
      'test/unit/{chunk,pack,index,store,registry}/**/*.test.ts',
      'test/property/{chunker,chunk-index,gate}.test.ts',
    ],
    exclude: [
      // Changes limits for itself alone, which needs modules of its own.
      'test/unit/store/pack-sink.test.ts',
      // Start threads, which run what was built and no mutant.
      'test/unit/store/{parallel,structural-edits}.test.ts',
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
