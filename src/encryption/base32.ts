const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const values = new Int8Array(128).fill(-1);
for (const [value, letter] of [...alphabet].entries()) values[letter.charCodeAt(0)] = value;

/** Writes bytes in base32 (RFC 4648) in small letters without padding: a name on any file system. */
export function toBase32(bytes: Uint8Array): string {
  let text = '';
  let [bits, held] = [0, 0];
  for (const byte of bytes) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 5; ) {
      bits -= 5;
      text += alphabet[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + alphabet[(held << (5 - bits)) & 31];
}

/** Reads base32 as {@link toBase32} writes it; undefined for a text that it does not write. */
export function fromBase32(text: string): Buffer | undefined {
  const bytes = Buffer.alloc(Math.floor((text.length * 5) / 8));
  let [bits, held, filled] = [0, 0, 0];
  for (let i = 0; i < text.length; i++) {
    const value = values[text.charCodeAt(i)] ?? -1;
    if (value < 0) return undefined;
    held = (held << 5) | value;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes[filled++] = held >>> bits;
    held &= (1 << bits) - 1;
  }
  // What is left are fewer bits than a letter has, all zero: one text for the same bytes.
  return bits < 5 && held === 0 ? bytes : undefined;
}
