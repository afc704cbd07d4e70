import { expect, it } from 'vitest';
import { indexScale } from '../support/made-stores.ts';
import { runs } from '../support/runs.ts';
import { tempFolder } from '../support/temp.ts';

it('the index of a million chunks takes little memory, to make and to use', () => {
  const chunks = runs(1_000_000).numRuns;
  const result = indexScale({ place: tempFolder(), chunks, rows: 4_096, lookups: 50_000 });
  expect(result).toMatchObject({ chunks, footersAtOpen: 0 });
  // All footers and a table of them in memory would be some 110 MiB for each million chunks.
  expect(result['openMiB']).toBeLessThan(30);
  expect(result['buildPeakMiB']).toBeLessThan(220);
  expect(result['peakMiB']).toBeLessThan(220);
  expect(result['tables']).toBeLessThanOrEqual(5);
});
