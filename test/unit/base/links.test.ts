import * as fs from 'node:fs';
import * as path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemCode } from '../../../src/base/errors.ts';
import { TreeLinks } from '../../../src/base/links.ts';
import { runs } from '../../support/runs.ts';
import { tempFolder } from '../../support/temp.ts';

const places = ['a', 'b', 'c', 'd/a', 'd/b', 'd/e/a', 'f'] as const;
const step = fc.constantFrom('a', 'b', 'c', 'd', 'd/e', 'f', '..', '..', '.', '', 'none');
const target = fc
  .array(step, { minLength: 1, maxLength: 5 })
  .map((steps) => steps.join('/'))
  .filter((text) => text !== '' && !text.startsWith('/'));

/** What the system makes of a link: where it leads, or the code of its refusal. */
function follow(file: string): { real?: string; code?: string } {
  try {
    return { real: fs.realpathSync.native(file) };
  } catch (error) {
    return { code: systemCode(error) ?? 'unknown' };
  }
}

describe('links of a tree', () => {
  it('judges as the system follows', () => {
    const parent = tempFolder();
    const seen = new Set<string>();
    const links = fc.uniqueArray(fc.tuple(fc.constantFrom(...places), target), {
      minLength: 1,
      maxLength: 6,
      selector: ([place]) => place,
    });
    fc.assert(
      fc.property(links, (drawn) => {
        const root = path.join(parent, 'deep', 'tree');
        fs.rmSync(root, { recursive: true, force: true });
        fs.mkdirSync(path.join(root, 'd/e'), { recursive: true });
        const map = new Map<string, string>(drawn);
        for (const [place, to] of map) fs.symlinkSync(to, path.join(root, place));
        const tree = new TreeLinks(map);
        for (const place of map.keys()) {
          const problem = tree.problem(place)?.kind;
          const { real, code } = follow(path.join(root, place));
          const inside = real === root || real?.startsWith(`${root}/`) === true;
          const about = `${place} of ${JSON.stringify(drawn)}: ${problem}, ${real ?? code}`;
          seen.add(`${problem ?? 'kept'} ${code ?? inside}`);
          // What leads out must be refused; what loops may have been refused for leaving before.
          if (real !== undefined && !inside) expect(problem, about).toBe('leaves');
          if (code === 'ELOOP') expect(problem, about).toMatch(/^(?:loops|leaves)$/);
          // What the system can follow is kept, unless it left on the way and came back.
          if (inside && problem !== undefined) expect(problem, about).toBe('leaves');
          if (inside && !climbs(map)) expect(problem, about).toBeUndefined();
        }
      }),
      runs(300),
    );
    expect([...seen].sort()).toEqual(
      expect.arrayContaining([
        'kept ENOENT',
        'kept true',
        'leaves ENOENT',
        'leaves false',
        'loops ELOOP',
      ]),
    );
  });

  /** Tells whether any link goes above where it lies. */
  function climbs(map: ReadonlyMap<string, string>): boolean {
    return [...map.values()].some((to) => to.split('/').includes('..'));
  }

  it('sees through a path that only looks as if it stayed inside', () => {
    const links = new Map([
      ['deep/link', '../other'],
      ['bad', 'deep/link/../../x'],
    ]);
    const tree = new TreeLinks(links);
    expect(tree.problem('bad')?.kind).toBe('leaves');
    expect(tree.problem('deep/link')).toBeUndefined();
  });

  it('follows 40 links, and no more', () => {
    const links = Array.from({ length: 100_000 }, (_, i) => {
      return [`l${i}`, i === 0 ? 'end' : `l${i - 1}`] as const;
    });
    const tree = new TreeLinks(new Map(links));
    // The longest first, and again when all of its links are known.
    for (const first of ['l99999', 'l41', 'l40', 'l41', 'l39', 'l0']) {
      const kind = tree.problem(first)?.kind;
      expect(kind, first).toBe(['l40', 'l39', 'l0'].includes(first) ? undefined : 'loops');
    }
  });

  it('takes no time on links that multiply', () => {
    const links = new Map(
      Array.from({ length: 39 }, (_, i) => [`l${i}`, `l${i + 1}/`.repeat(1_000)] as const),
    );
    links.set('l39', '.');
    expect(new TreeLinks(links).problem('l0')?.kind).toBe('loops');
  });
});
