import { createHash } from 'node:crypto';

/** The MD5 of bytes. */
export function md5Of(bytes: Uint8Array | string): string {
  return createHash('md5').update(bytes).digest('hex');
}

/** The list of a directory as Python writes it. */
export function listText(entries: ReadonlyArray<{ md5: string; relpath: string }>): string {
  const ascii = (text: string): string =>
    JSON.stringify(text).replace(
      /[\u0080-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
  const lines = entries.map(
    ({ md5, relpath }) => `{"md5": "${md5}", "relpath": ${ascii(relpath)}}`,
  );
  return `[${lines.join(', ')}]`;
}
