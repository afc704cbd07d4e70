import { formatBytes } from '../base/format-bytes.ts';
import { printable } from '../base/names.ts';

/** Steps shown to people. */
const stepsShown = 40;

/** Shows what an exchange with another service does, or would do. */
export function stepLines(
  steps: ReadonlyArray<{ readonly act: string; readonly what: string; readonly bytes?: number }>,
): string[] {
  const lines = steps.slice(0, stepsShown).map(({ act, what, bytes }) => {
    const size = bytes === undefined ? '' : `  ${formatBytes(bytes)}`;
    return `  ${act.padEnd(8)}  ${printable(what)}${size}`;
  });
  if (steps.length > stepsShown) lines.push(`  and ${steps.length - stepsShown} more`);
  return lines;
}

/** Said at the end of a dry run. */
export const dryRunEnd = 'Nothing was changed: that was --dry-run';
