import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type ErrorCode, errorCodes } from '../../src/base/errors.ts';
import { damagePage } from '../support/damage-page.ts';
import {
  cellOf,
  commandNames,
  damageNames,
  kindNames,
  reasonOf,
  remedyNames,
  remedyOf,
  verdictOf,
} from '../support/damage-table.ts';

const page = fs.readFileSync(
  fileURLToPath(new URL('../../docs/reliability.md', import.meta.url)),
  'utf8',
);

/** The words of cells that are no error codes. */
const words =
  /^(?:fine|heals)(?:, tells)?$|^shows (?:corrupt-\w+|bytes to pull|nothing of it|a changed pointer)$/;

describe('the damage matrix', () => {
  const cells = kindNames.flatMap((kind) =>
    damageNames.flatMap((damage) =>
      commandNames.map((command) => ({
        name: `${kind}, ${damage}, ${command}`,
        reason: reasonOf(kind, damage),
        cell: cellOf(kind, damage, command),
      })),
    ),
  );

  it('has every cell, or says why there is none', () => {
    expect(cells).toHaveLength(kindNames.length * damageNames.length * commandNames.length);
    for (const { name, cell, reason } of cells) {
      if (cell === undefined) expect(reason, name).toMatch(/^[a-z].{20}/);
      else expect(cell, name).not.toBe('');
    }
    expect(cells.filter(({ cell }) => cell === undefined).length).toBeLessThan(30);
  });

  it('speaks in known words, and has something to do after each error', () => {
    for (const { name, cell } of cells) {
      if (cell === undefined) continue;
      const isError = errorCodes.includes(verdictOf(cell) as ErrorCode);
      if (!isError) expect(cell, name).toMatch(words);
      else expect(remedyNames, name).toContain(remedyOf(cell));
    }
  });

  it('uses every remedy', () => {
    const used = new Set(cells.map(({ cell = '' }) => remedyOf(cell)));
    expect(remedyNames.filter((name) => !used.has(name))).toEqual([]);
  });

  it('stands in the page on reliability', () => {
    const start = page.indexOf(damagePage().split('\n')[0] as string);
    expect(page.slice(start, start + damagePage().length)).toBe(damagePage());
  });
});
