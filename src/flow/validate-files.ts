import { Breather } from '../base/abort.ts';
import type { Verdict } from '../validate/report.ts';
import { type FileValidation, validateFile } from '../validate/validate.ts';
import type { WorkOptions } from './add.ts';
import type { PlacedSource } from './validate-sources.ts';

/** Verdicts, the worst last. */
const verdicts: readonly Verdict[] = ['ok', 'warning', 'invalid', 'dangerous'];

/** Validates files one by one, and lets the program breathe between them. */
export async function validateAll(
  sources: readonly PlacedSource[],
  { signal, progress }: WorkOptions,
  passingBytes?: number,
): Promise<{ verdict: Verdict; files: FileValidation[] }> {
  const breather = new Breather(signal);
  const files: FileValidation[] = [];
  progress?.start('check', { filesTotal: sources.length });
  for (const { source, around } of sources) {
    files.push(validateFile(source, { around, passingBytes }));
    progress?.advance({ files: 1, name: source.path });
    if (breather.due()) await breather.turn();
  }
  progress?.finish();
  const worst = Math.max(0, ...verdictIndexes(files));
  return { verdict: verdicts[worst] ?? 'ok', files };
}

function verdictIndexes(files: readonly FileValidation[]): number[] {
  const seen = new Set(files.map(({ verdict }) => verdict));
  return [...seen].map((verdict) => verdicts.indexOf(verdict));
}
