import { parseBytes } from '../base/format-bytes.ts';
import { limits } from '../base/limits.ts';

/** What `transfer.rate_limit` and `--rate-limit` take. */
export const rateAbout =
  'Bytes a second that go and come at most: an amount such as 20MB or 1.5MiB, at least 10kB, or off';

/** Reads a limit in bytes a second, infinite for `off`; undefined when the text is none. */
export function parseRate(text: string): number | undefined {
  if (text === 'off') return Number.POSITIVE_INFINITY;
  const bytes = parseBytes(text.replace(/\/s$/, ''));
  return bytes === undefined || bytes < limits.rateBytesMin ? undefined : bytes;
}
