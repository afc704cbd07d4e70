const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Writes an amount of bytes in binary units with three digits: `1.53 GiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  if (unit === 0) return `${value} B`;
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

const amountPattern = /^(\d{1,12}(?:\.\d{1,6})?) ?(?:([kmgt])(i?))?(b?)$/i;

/**
 * Reads an amount of bytes as people write it: `20MB` is 20,000,000 and `1.5 MiB` 1,572,864; letters may be
 * small. A letter alone, `20M`, stands for the binary unit, as for curl and rclone.
 * @returns whole bytes; undefined when the text is no amount
 */
export function parseBytes(text: string): number | undefined {
  const [, digits, letter = '', binary, bytes] = amountPattern.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const step = binary === '' && bytes !== '' ? 1000 : 1024;
  const power = letter === '' ? 0 : 1 + 'kmgt'.indexOf(letter.toLowerCase());
  return Math.round(Number(digits) * step ** power);
}
