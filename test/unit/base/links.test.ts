import * as fs from 'node:fs';
import * as path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemCode } from '../../../src/base/errors.ts';
import { linkProblem } from '../../../src/base/tree.ts';
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

describe('linkProblem', () => {
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
        for (const [place, to] of map) {
          const problem = linkProblem(place, to, map)?.kind;
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
    expect(linkProblem('bad', 'deep/link/../../x', links)?.kind).toBe('leaves');
    expect(linkProblem('deep/link', '../other', links)).toBeUndefined();
  });

  it('follows 40 links, and no more', () => {
    const chain = (length: number) =>
      new Map(Array.from({ length }, (_, i) => [`l${i}`, i === 0 ? 'end' : `l${i - 1}`]));
    expect(linkProblem('start', 'l39', chain(40))).toBeUndefined();
    expect(linkProblem('start', 'l40', chain(41))?.kind).toBe('loops');
  });

  it('takes no time on links that multiply', () => {
    const links = new Map(
      Array.from({ length: 39 }, (_, i) => [`l${i}`, `l${i + 1}/`.repeat(1_000)] as const),
    );
    links.set('l39', '.');
    expect(linkProblem('l0', links.get('l0') as string, links)?.kind).toBe('loops');
  });
});
