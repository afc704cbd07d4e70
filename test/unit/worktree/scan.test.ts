import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { tempName } from '../../../src/base/files.ts';
import { ignoreFileRules } from '../../../src/worktree/ignore-rules.ts';
import { type Scan, scanFolder, throwScanProblems } from '../../../src/worktree/scan.ts';
import { tempFolder } from '../../support/temp.ts';

interface Made {
  readonly folder: string;
  scan(platform?: NodeJS.Platform): Scan;
}

function folderWith(files: Record<string, string | Buffer>): Made {
  const root = tempFolder();
  const folder = path.join(root, 'model');
  fs.mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
  const scan = (platform: NodeJS.Platform = 'linux') =>
    scanFolder(folder, {
      rules: ignoreFileRules(root, '.mstoreignore'),
      rulesPrefix: 'model',
      linkedFiles: path.join(root, 'store/files'),
      platform: { platform },
    });
  return { folder, scan };
}

const entriesOf = (scan: Scan) =>
  scan.entries.map(
    (entry) => `${entry.kind} ${entry.path}${entry.kind === 'link' ? ` -> ${entry.link}` : ''}`,
  );
const problemsOf = (scan: Scan) => scan.problems.map(({ code, path: at }) => `${code} ${at}`);

describe('scanFolder', () => {
  it('lists files, links and empty directories, sorted by the bytes of their paths', () => {
    const { folder, scan } = folderWith({
      'b/x': '',
      'b-c': '1',
      a: '22',
      '\u{1f600}': '',
      '\ufb01': '',
    });
    fs.mkdirSync(path.join(folder, 'empty/below'), { recursive: true });
    fs.symlinkSync('../b/x', path.join(folder, 'b/link'));
    fs.chmodSync(path.join(folder, 'a'), 0o755);
    const found = scan();
    expect(entriesOf(found)).toEqual([
      'file a',
      'file b-c',
      'link b/link -> ../b/x',
      'file b/x',
      'directory empty/below',
      'file \ufb01',
      'file \u{1f600}',
    ]);
    expect(found.entries[0]).toMatchObject({ executable: true, source: path.join(folder, 'a') });
    expect(found.entries[1]).toMatchObject({ executable: false });
    expect(found.problems).toEqual([]);
  });

  it('leaves out Git, the store, temporary files of ours, and what .mstoreignore says', () => {
    const { folder, scan } = folderWith({
      '.git/config': '',
      'sub/.git': '',
      '.modelstore/x': '',
      'log/a': '',
      'keep.log': '',
      'a.log': '',
      'sub/b.log': '',
      'sub/.mstoreignore': '!b.log\n',
      [tempName()]: '',
      [`.out.${tempName()}`]: '',
      'x.tmp': '',
    });
    fs.writeFileSync(
      path.join(folder, '../.mstoreignore'),
      '*.log\n!/model/keep.log\n/model/log/\n',
    );
    expect(entriesOf(scan())).toEqual([
      'file keep.log',
      'file sub/.mstoreignore',
      'file sub/b.log',
      'file x.tmp',
    ]);
  });

  it('keeps a directory whose whole content is left out', () => {
    const { folder, scan } = folderWith({ 'out/a.log': '' });
    fs.writeFileSync(path.join(folder, '.mstoreignore'), '*.log\n');
    expect(entriesOf(scan())).toEqual(['file .mstoreignore', 'directory out']);
  });

  it('names what has no bytes, and pointers', async () => {
    const { folder, scan } = folderWith({ 'm.bin.mstore': '{}', a: '' });
    execFileSync('mkfifo', [path.join(folder, 'fifo')]);
    const server = net.createServer();
    const previous = process.cwd();
    // The path of a socket is bounded to some 100 bytes, so it is made from inside.
    process.chdir(folder);
    try {
      await new Promise<void>((resolve) => server.listen('socket', resolve));
      const { problems, entries } = scan();
      expect(entries.map(({ path: at }) => at)).toEqual(['a']);
      expect(problems.map(({ code, message }) => [code, message]).sort()).toEqual([
        ['contains-pointer', 'm.bin.mstore is a pointer, and a tracked directory cannot hold one'],
        ['unsupported-file-type', 'fifo is a FIFO, which has no bytes to store'],
        ['unsupported-file-type', 'socket is a socket, which has no bytes to store'],
      ]);
    } finally {
      process.chdir(previous);
      server.close();
    }
  });

  it('names names that cannot be stored, and only once', () => {
    const { folder, scan } = folderWith({ 'a\nb': '', 'c\\d': '', 'e\u0301': '', '.GIT/x': '' });
    fs.writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x66, 0xff])]), '');
    expect(problemsOf(scan()).sort()).toEqual([
      'bad-name .GIT',
      'bad-name a\nb',
      'bad-name c\\d',
      'bad-name e\u0301',
      'bad-name f\ufffd',
    ]);
    expect(scan().problems.find(({ path: at }) => at === 'a\nb')?.message).toBe(
      'a\\u{a}b has a control character such as a newline in its name',
    );
    // macOS hands out decomposed names, which stand for composed ones there.
    expect(entriesOf(scan('darwin'))).toEqual(['file \u00e9']);
  });

  it('names files that would be one on other systems', () => {
    const { scan } = folderWith({ 'A/x': '', 'a/y': '', 'B.bin': '', 'b.bin': '', c: '' });
    expect(problemsOf(scan())).toEqual(['name-collision a', 'name-collision b.bin']);
  });

  it.each([
    ['link-leaves', '../outside'],
    ['link-leaves', '/etc/hosts'],
    ['link-loop', 'link'],
    ['link-leaves', 'x\ny'],
  ])('finds %s in a link to %j', (code, target) => {
    const { folder, scan } = folderWith({ a: '' });
    fs.symlinkSync(target, path.join(folder, 'link'));
    expect(problemsOf(scan())).toEqual([`${code} link`]);
  });

  it('takes a link into the whole files of the store for the file', () => {
    const { folder, scan } = folderWith({ a: '' });
    const files = path.join(folder, '../store/files');
    fs.mkdirSync(files, { recursive: true });
    fs.writeFileSync(path.join(files, 'blob'), '12345');
    fs.symlinkSync(path.join(files, 'blob'), path.join(folder, 'm'));
    fs.symlinkSync(path.join(files, 'gone'), path.join(folder, 'n'));
    const { entries, problems } = scan();
    expect(entries.find(({ path: at }) => at === 'm')).toMatchObject({
      kind: 'file',
      source: path.join(files, 'blob'),
    });
    expect(problems.map(({ code }) => code)).toEqual(['link-leaves']);
  });

  it('does not go deeper than 128 folders', () => {
    const { folder, scan } = folderWith({});
    fs.mkdirSync(path.join(folder, 'd/'.repeat(130)), { recursive: true });
    const { problems } = scan();
    expect(problems.map(({ code }) => code)).toEqual(['too-large']);
  });
});

describe('throwScanProblems', () => {
  it('throws the first, counts the others and lists all', () => {
    const { folder, scan } = folderWith({ 'a\nb': '', 'c\\d': '' });
    expect(folder).toContain('model');
    expect(() => throwScanProblems(scan(), 'model/')).toThrow(
      expect.objectContaining({
        code: 'bad-name',
        message: expect.stringMatching(/^model\/.* \(and 1 more like it\)$/) as string,
        details: expect.objectContaining({
          problems: [expect.stringMatching(/^model\//), expect.stringMatching(/^model\//)],
        }) as object,
      }) as Error,
    );
    expect(() => throwScanProblems(folderWith({ a: '' }).scan(), '')).not.toThrow();
  });
});
