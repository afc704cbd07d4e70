import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findPointers } from '../../../src/worktree/find-pointers.ts';
import { ignoreFileRules } from '../../../src/worktree/ignore-rules.ts';
import { tempFolder } from '../../support/temp.ts';

function folderWith(...names: string[]): string {
  const root = tempFolder();
  for (const name of names) {
    fs.mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    fs.writeFileSync(path.join(root, name), '');
  }
  return root;
}

describe('findPointers', () => {
  it('finds pointers everywhere, sorted by the bytes of their paths', () => {
    const names = ['b.mstore', 'a/z.mstore', 'a/b/c.mstore', 'a-b/x.mstore', '\ufb01.mstore'];
    const root = folderWith(...names, '\u{1f600}.mstore', 'a/model.bin', 'mstore', '.mstore');
    const bytes = [...names, '\u{1f600}.mstore'].map((name) => Buffer.from(name));
    expect(findPointers(root, [])).toEqual(bytes.sort(Buffer.compare).map(String));
    expect(findPointers(root, [], 'a')).toEqual(['a/b/c.mstore', 'a/z.mstore']);
    expect(findPointers(root, [], 'none')).toEqual([]);
  });

  it('does not enter tracked directories, Git, the store, packages, links and ignored folders', () => {
    const root = folderWith(
      ...['bert.mstore', 'bert/inside.mstore', '.git/x.mstore', '.modelstore/x.mstore'],
      ...[
        'node_modules/x.mstore',
        'out/x.mstore',
        'out/keep/x.mstore',
        'sub/node_modules/x.mstore',
      ],
      'real/x.mstore',
    );
    fs.writeFileSync(path.join(root, '.gitignore'), '/out/\n*.mstore\n');
    fs.symlinkSync('real', path.join(root, 'link'));
    fs.symlinkSync('bert.mstore', path.join(root, 'other.mstore'));
    fs.mkdirSync(path.join(root, 'dir.mstore'));
    const rules = ignoreFileRules(root, '.gitignore');
    expect(findPointers(root, [rules])).toEqual(['bert.mstore', 'real/x.mstore']);
  });

  it('is bounded in depth', () => {
    const root = tempFolder();
    fs.mkdirSync(path.join(root, 'd/'.repeat(140)), { recursive: true });
    fs.writeFileSync(path.join(root, `${'d/'.repeat(140)}x.mstore`), '');
    fs.writeFileSync(path.join(root, `${'d/'.repeat(20)}x.mstore`), '');
    expect(findPointers(root, [])).toEqual([`${'d/'.repeat(20)}x.mstore`]);
  });
});
