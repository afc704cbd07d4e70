import fc from 'fast-check';
import { sha256 } from '../../src/base/digest.ts';
import { collisionKey, nameProblem } from '../../src/base/names.ts';
import { sortEntries, type TreeEntry } from '../../src/base/tree.ts';

/** Names that may be stored, many of them short and alike so that paths share folders. */
export const goodNames: fc.Arbitrary<string> = fc
  .oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom('a', 'b', 'a-b', 'a.b', 'ab', 'é', '\ufb01', '\u{1f600}'),
    },
    { weight: 2, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 5 }) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 5 }) },
  )
  .map((name) => name.normalize('NFC'))
  .filter((name) => nameProblem(name) === undefined);

const leaf = fc.oneof(
  fc
    .tuple(fc.nat(), fc.string(), fc.boolean())
    .map(([size, text, executable]) =>
      executable
        ? ({ size, sha256: sha256(text), executable } as const)
        : { size, sha256: sha256(text) },
    ),
  goodNames.map((link) => ({ link })),
  fc.constant({ directory: true } as const),
);

/** Lists of entries that keep every rule of trees. */
export const goodTrees: fc.Arbitrary<TreeEntry[]> = fc
  .array(fc.tuple(fc.array(goodNames, { minLength: 1, maxLength: 4 }), leaf), { maxLength: 12 })
  .map((drawn) => {
    const kinds = new Map<string, { path: string; folder: boolean }>();
    const entries: TreeEntry[] = [];
    for (const [names, value] of drawn) {
      const parts = names.map((_, i) => names.slice(0, i + 1).join('/'));
      const path = parts.pop() as string;
      const isFree = !kinds.has(collisionKey(path));
      const fits = parts.every((part) => {
        const known = kinds.get(collisionKey(part));
        return known === undefined || (known.folder && known.path === part);
      });
      if (!isFree || !fits) continue;
      for (const part of parts) kinds.set(collisionKey(part), { path: part, folder: true });
      kinds.set(collisionKey(path), { path, folder: false });
      entries.push({ path, ...value } as TreeEntry);
    }
    // A link to a name that is itself a link may loop; such trees are drawn in the tests of links.
    const links = new Set(entries.flatMap((entry) => ('link' in entry ? [entry.link] : [])));
    return sortEntries(entries.filter((e) => !('link' in e) || !links.has(lastName(e.path))));
  });

function lastName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
