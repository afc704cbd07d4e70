/** One folder of src at a time, chosen by `mutation.js`. The report is what the next run goes on from. */
const folder = process.env['MSTORE_MUTATION'];
if (folder === undefined) throw new Error('Run this by npm run mutation');
const sampled = process.env['MSTORE_MUTATION_EVERY'] !== undefined;

// biome-ignore lint/style/noDefaultExport: Stryker asks for one
export default {
  testRunner: 'vitest',
  plugins: [
    '@stryker-mutator/vitest-runner',
    ...(sampled ? ['./test/tools/mutation-sample.js'] : []),
  ],
  checkers: sampled ? ['sample'] : [],
  vitest: { configFile: 'test/tools/vitest.mutation.config.ts', related: false },
  mutate: [`src/${folder}/**/*.ts`, '!src/chunk/wasm/**'],
  mutator: { excludedMutations: ['StringLiteral'] },
  coverageAnalysis: 'perTest',
  ignoreStatic: true,
  concurrency: 1,
  timeoutMS: 30_000,
  tempDirName: 'coverage/stryker',
  incremental: true,
  incrementalFile: process.env['MSTORE_MUTATION_REPORT'],
  reporters: ['progress-append-only', 'clear-text'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
};
