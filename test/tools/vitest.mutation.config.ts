import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The folder of src that is changed. */
const folder = process.env['MSTORE_MUTATION'] ?? '*';
const properties: Partial<Record<string, string>> = {
  chunk: 'chunker',
  index: 'chunk-index',
  registry: 'gate',
};
/** Files that take a second or longer. */
const slow =
  /(?:property\/.*|pack\/pack|reference|data-file|compression|blobs|run-budget|small-files|tables)\.test\.ts$/;

/** Quick files go first: most changes are noticed by any test that reaches them. */
class QuickFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => `${slow.test(moduleId) ? 1 : 0}${moduleId}`;
    return files.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1));
  }
}

/** The tests that run once for each change of `npm run mutation`: those of the folder. */
// biome-ignore lint/style/noDefaultExport: vitest asks for one
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: [
      `test/unit/${folder}/**/*.test.ts`,
      `test/property/${properties[folder] ?? '-'}.test.ts`,
    ],
    exclude: [
      // Changes limits for itself alone, which needs modules of its own.
      'test/unit/store/pack-sink.test.ts',
      // Start threads, which run what was built and no mutant.
      'test/unit/store/{parallel,structural-edits}.test.ts',
    ],
    // Modules are loaded once for each change, not once for each file of tests.
    isolate: false,
    env: { MSTORE_TEST_RUNS: '0.2' },
    sequence: { sequencer: QuickFirst },
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
});
