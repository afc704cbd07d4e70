import { spawn } from 'node:child_process';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { fuzzTargets } from '../fuzz/all-targets.ts';
import { longTime } from '../support/long-time.ts';

const tools = path.join(import.meta.dirname, '../tools');
/** Each parser has so much time at least. */
const secondsMin = 5;

/** What a tool printed, a JSON document a line, and how it ended. */
async function ran(
  tool: string,
  ...args: string[]
): Promise<{ code: number | null; rows: Array<Record<string, unknown>>; text: string }> {
  const child = spawn(process.execPath, [path.join(tools, tool), '--json', ...args]);
  let [out, text] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    out += part;
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  const lines = out.split('\n').filter((line) => line !== '');
  return { code, rows: lines.map((line) => JSON.parse(line) as Record<string, unknown>), text };
}

it('what is meant to cost much stays within its bounds', async () => {
  const { code, rows, text } = await ran('fuzz-bounds.js');
  process.stdout.write(`${rows.length} inputs that are meant to cost much were measured\n`);
  expect(rows.filter(({ right }) => right !== true)).toEqual([]);
  expect(code, text).toBe(0);
});

it('no parser of outside bytes ends otherwise than it says, guided by the code that is reached', async () => {
  const { minutes, goOn } = longTime();
  const names = [...fuzzTargets.keys()];
  const seconds = Math.max(secondsMin, Math.floor((minutes * 60) / names.length));
  const done: Array<Record<string, unknown>> = [];
  for (const name of names) {
    if (!goOn()) break;
    const { code, rows, text } = await ran('fuzz.js', '--seconds', String(seconds), name);
    done.push(...rows);
    expect(code, text).toBe(0);
  }
  const runs = done.reduce((sum, row) => sum + Number(row['runs']), 0);
  process.stdout.write(`${runs} inputs on ${done.length} of ${names.length} parsers, no fault\n`);
});
