import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ignoreRules } from '../../src/git/ignore-rules.ts';
import { findLayout } from '../../src/git/layout.ts';
import { ignoreFileRules } from '../../src/worktree/ignore-rules.ts';
import { gitTestEnv, makeRepo } from '../support/git.ts';
import { runs } from '../support/runs.ts';

const name = fc.constantFrom('a', 'b', 'ab', 'a.bin', 'b.bin', 'A', 'd');
const piece = fc.oneof(
  { weight: 4, arbitrary: name },
  {
    weight: 3,
    arbitrary: fc.constantFrom('*', '**', '*.bin', 'a*', '?', '[ab]', '[!a]', '*b', '\\a'),
  },
);
const pattern = fc
  .tuple(
    fc.constantFrom('', '', '', '!'),
    fc.constantFrom('', '', '/'),
    fc.array(piece, { minLength: 1, maxLength: 3 }),
    fc.constantFrom('', '', '/', ' ', '/**'),
  )
  .map(([not, top, pieces, end]) => not + top + pieces.join('/') + end);
const patterns = fc.array(fc.oneof(pattern, fc.constantFrom('', '# a', '\\#a', '\\!a', '\r')), {
  maxLength: 5,
});

const folders = ['', 'a', 'd', 'a/b', 'd/a', 'd/a/b'];
const leaves = ['a', 'b', 'ab', 'a.bin', 'b.bin', 'A'];
/** All paths that are asked for; Git sees by itself which of them are folders. */
const asked = folders.flatMap((folder) =>
  leaves.map((leaf) => (folder === '' ? leaf : `${folder}/${leaf}`)),
);

/** What Git says: of each path whether it is ignored. */
function askGit(repo: string): Map<string, boolean> {
  const input = asked.map((full) => `./${full}`).join('\0');
  const args = ['check-ignore', '-v', '-n', '-z', '--no-index', '--stdin'];
  const { stdout } = spawnSync('git', args, { cwd: repo, input, env: gitTestEnv });
  const fields = stdout.toString().split('\0');
  const verdicts = new Map<string, boolean>();
  for (let at = 0; at + 3 < fields.length; at += 4) {
    const matched = fields[at + 2] as string;
    verdicts.set((fields[at + 3] as string).slice(2), matched !== '' && !matched.startsWith('!'));
  }
  return verdicts;
}

describe('ignore rules', () => {
  it('judges as git check-ignore does', () => {
    const repo = makeRepo();
    for (const folder of folders) fs.mkdirSync(path.join(repo, folder), { recursive: true });
    const layout = findLayout(repo) ?? expect.fail('a repository');
    let ignored = 0;
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...folders), patterns, { maxKeys: 3 }), (files) => {
        for (const folder of folders) {
          const file = path.join(repo, folder, '.gitignore');
          fs.rmSync(file, { force: true });
          if (folder in files) fs.writeFileSync(file, `${files[folder]?.join('\n')}\n`);
        }
        const verdicts = askGit(repo);
        expect(verdicts.size).toBe(asked.length);
        const rules = ignoreFileRules(repo, '.gitignore');
        const isIgnored = ignoreRules(layout);
        for (const [full, expected] of verdicts) {
          const about = `${full} of ${JSON.stringify(files)}`;
          const isFolder = folders.includes(full);
          expect(rules.ignoresWithParents(full, isFolder), about).toBe(expected);
          expect(isIgnored(full), about).toBe(expected);
          if (expected) ignored++;
        }
      }),
      {
        ...runs(120),
        // What lies in a folder that was brought back is judged by its own name.
        examples: [
          [{ '': ['*b'], 'd/a': ['!b'] }],
          [{ '': ['a', '*.bin'], d: ['!a'], 'd/a': ['!b.bin'] }],
          [{ '': ['/d/**'], d: ['!a', '!b'], 'd/a': ['!*', 'ab'] }],
        ],
      },
    );
    expect(ignored).toBeGreaterThan(0);
  });
});
