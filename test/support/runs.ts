/** Number of runs of a property: few by default, `MSTORE_TEST_RUNS` times as many when asked for. */
export function runs(count: number): { numRuns: number } {
  const factor = Number(process.env['MSTORE_TEST_RUNS'] ?? 1);
  return { numRuns: Math.max(1, Math.round(count * factor)) };
}
