import fc from 'fast-check';
import { parse, stringify } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { isMstoreError } from '../../src/base/errors.ts';
import { editToml } from '../../src/worktree/toml-edit.ts';
import { runs } from '../support/runs.ts';

/** Keys of the configuration are bare; what else is in the file may have any. */
const bareKey = fc.constantFrom('core', 'remote', 'url', 'a', 'b-c');
const key = fc.oneof(
  { weight: 4, arbitrary: bareKey },
  {
    weight: 1,
    arbitrary: fc.string({ minLength: 1, maxLength: 4 }).filter((k) => k !== '__proto__'),
  },
);
const scalar = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 6 }),
  fc.constantFrom('# no comment', '"', "it's", '[core]', 'a = 1', 'x\n[remote]\nurl = 1'),
  fc.integer(),
  fc.boolean(),
);
const { table } = fc.letrec<{ table: Record<string, unknown>; value: unknown }>((tie) => ({
  value: fc.oneof(
    { weight: 4, arbitrary: scalar },
    { weight: 1, arbitrary: fc.array(scalar, { maxLength: 3 }) },
    { weight: 2, arbitrary: tie('table') },
  ),
  table: fc.dictionary(key, tie('value'), { maxKeys: 4 }),
}));

/** A document with comments and blank lines between the lines that may have some. */
const documents = fc
  .tuple(
    table,
    fc.array(fc.constantFrom('', '# a comment', '   # it\'s "odd" [core]'), { maxLength: 5 }),
  )
  .map(([value, extras]) => {
    const lines = stringify(value).split('\n');
    for (const [i, extra] of extras.entries()) lines.splice((i * 3) % (lines.length + 1), 0, extra);
    return lines.join('\n');
  })
  .filter((text) => {
    try {
      parse(text);
      return true;
    } catch {
      return false;
    }
  });

/** Sets or removes a key in a plain value; undefined when something that is no table is in the way. */
function edited(value: unknown, keys: readonly string[], to: unknown): unknown {
  const [first, ...rest] = keys as [string, ...string[]];
  const old = value ?? {};
  if (typeof old !== 'object' || Array.isArray(old)) return undefined;
  const copy: Record<string, unknown> = { ...old };
  if (rest.length > 0) {
    const below = edited(copy[first], rest, to);
    if (below === undefined) return undefined;
    copy[first] = below;
  } else if (to === undefined) delete copy[first];
  else copy[first] = to;
  return copy;
}

function withoutEmpty(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const kept = Object.entries(value)
    .map(([name, inner]) => [name, withoutEmpty(inner)] as const)
    .filter(([, inner]) => JSON.stringify(inner) !== '{}');
  return Object.fromEntries(kept);
}

const comments = (text: string) => text.split('\n').filter((line) => /^\s*#/.test(line));

describe('editToml', () => {
  it('changes the one key and nothing else, comments included', () => {
    let done = 0;
    fc.assert(
      fc.property(
        documents,
        fc.array(bareKey, { minLength: 2, maxLength: 3 }),
        fc.option(scalar, { nil: undefined }),
        (text, keys, value) => {
          let result: string;
          try {
            result = editToml(text, keys, value);
          } catch (error) {
            if (!isMstoreError(error, 'config-invalid')) throw error;
            return;
          }
          done++;
          const wanted = edited(parse(text), keys, value);
          expect(withoutEmpty(parse(result))).toEqual(withoutEmpty(wanted));
          const multiline = text.includes('"""') || text.includes("'''");
          if (!multiline) expect(comments(result)).toEqual(comments(text));
          // Once more is no change.
          expect(editToml(result, keys, value)).toBe(result);
        },
      ),
      runs(300),
    );
    // Refusals are for odd layouts; most documents can be edited.
    expect(done).toBeGreaterThan(100 * Math.min(1, runs(1).numRuns));
  });
});
