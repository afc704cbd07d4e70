import type { HttpAnswer } from './http-exchange.ts';

/** Bound of answers that say why something is refused. */
export const errorBytesMax = 64 * 1024;

/** Reads an answer to its end, so that its connection can be used again. */
export async function drain(answer: HttpAnswer): Promise<void> {
  await answerText(answer, errorBytesMax);
}

/** Reads the beginning of an answer as text. What is longer is none that was asked for; the rest is not read. */
export async function answerText(answer: HttpAnswer, bytesMax: number): Promise<string> {
  const blocks: Uint8Array[] = [];
  let received = 0;
  for await (const block of answer.body) {
    received += block.length;
    if (received > bytesMax) break;
    blocks.push(block);
  }
  return Buffer.concat(blocks).toString();
}

/** Reads a JSON object; undefined where the text is none. */
export function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
