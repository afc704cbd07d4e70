import * as fs from 'node:fs';
import * as path from 'node:path';
import { type DvcHash, objectKey } from '../../src/dvc/object-key.ts';
import { listText, md5Of } from './dvc-text.ts';
import { git } from './git.ts';

/** How something is put into a repository of DVC. */
export interface DvcPut {
  /** `md5-dos2unix` for what DVC 2 wrote. */
  readonly hash?: DvcHash;
  /** What DVC 2 hashed instead of the bytes. */
  readonly hashed?: string;
  /** Further lines of the output. */
  readonly more?: readonly string[];
}

/** Repositories of DVC as DVC writes them, made by hand; its cache may be moved to where a remote is. */
export class DvcFixture {
  /** Absolute top of the repository. */
  readonly root: string;
  /** Absolute folder of the objects. */
  objects: string;

  constructor(root: string) {
    this.root = root;
    this.objects = path.join(root, '.dvc/cache');
    this.write('.dvc/config', '[core]\n    analytics = false\n');
    this.write('.dvc/.gitignore', '/config.local\n/tmp\n/cache\n');
  }

  at(name: string): string {
    return path.join(this.root, name);
  }

  write(name: string, bytes: Uint8Array | string): void {
    fs.mkdirSync(path.dirname(this.at(name)), { recursive: true });
    fs.writeFileSync(this.at(name), bytes);
  }

  /** Adds lines to the configuration. */
  configure(...lines: readonly string[]): void {
    fs.appendFileSync(this.at('.dvc/config'), `${lines.join('\n')}\n`);
  }

  /** Stores an object and returns its MD5. */
  object(
    bytes: Uint8Array | string,
    { hash = 'md5', hashed }: DvcPut = {},
    isList = false,
  ): string {
    const md5 = md5Of(hashed ?? bytes);
    const file = this.place({ hash, md5, isList });
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, bytes);
    return md5;
  }

  /** Where an object lies. */
  place(object: { hash: DvcHash; md5: string; isList: boolean }): string {
    return path.join(this.objects, objectKey(object));
  }

  /** Has DVC keep a file: its object and its `.dvc` file. Returns the MD5. */
  file(name: string, bytes: Uint8Array | string, put: DvcPut = {}): string {
    const md5 = this.object(bytes, put);
    this.write(`${name}.dvc`, this.out(name, md5, { size: Buffer.byteLength(bytes), ...put }));
    return md5;
  }

  /** Has DVC keep a directory. Returns the MD5 of its list, without the suffix. */
  folder(
    name: string,
    files: Readonly<Record<string, string | Uint8Array>>,
    put: DvcPut = {},
  ): string {
    const entries = Object.entries(files).map(([relpath, bytes]) => ({
      md5: this.object(bytes, put),
      relpath,
    }));
    const md5 = this.object(listText(entries), put, true);
    const bytes = Object.values(files).reduce((sum, one) => sum + Buffer.byteLength(one), 0);
    const about = { size: bytes, nfiles: entries.length, ...put };
    this.write(`${name}.dvc`, this.out(name, `${md5}.dir`, about));
    return md5;
  }

  /** The text of a `.dvc` file of one output. */
  out(
    name: string,
    md5: string,
    { size, nfiles, hash = 'md5', more = [] }: DvcPut & { size?: number; nfiles?: number } = {},
  ): string {
    return [
      'outs:',
      `- md5: ${md5}`,
      ...(size === undefined ? [] : [`  size: ${size}`]),
      ...(nfiles === undefined ? [] : [`  nfiles: ${nfiles}`]),
      ...(hash === 'md5' ? ['  hash: md5'] : []),
      `  path: ${path.posix.basename(name)}`,
      ...more.map((line) => `  ${line}`),
      '',
    ].join('\n');
  }

  /** Commits all but what DVC has Git ignore, and names the commit. */
  commit(tag?: string): string {
    git(this.root, 'add', '-A', '--', '.');
    git(this.root, 'commit', '-q', '--allow-empty', '-m', tag ?? 'change');
    if (tag !== undefined) git(this.root, 'tag', tag);
    return git(this.root, 'rev-parse', 'HEAD');
  }
}
