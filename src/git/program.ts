import { MstoreError } from '../base/errors.ts';
import { findGit } from './find-program.ts';
import { findLayout } from './layout.ts';
import { type GitRunner, gitRunner } from './process.ts';
import { inParts, recordCutter } from './stream-records.ts';

/** Which configuration a setting stands in. */
export type SettingScope = 'local' | 'global';

/** A file of a commit, with what Git tells of it without reading it. */
export interface SizedFile {
  /** Path from the top of the repository. */
  readonly path: string;
  readonly oid: string;
  /** Bytes. */
  readonly size: number;
  readonly kind: 'file' | 'executable' | 'link';
}

/**
 * What only the program Git answers, for work that needs the program anyway: its settings, its attributes, and lists
 * with sizes. Nothing is fetched for it. Failures of Git are `git-failed`.
 */
export interface GitProgram {
  /**
   * Lists settings as Git sees them, or those of one scope alone; the last value of each key counts.
   * @param keys a POSIX regular expression for whole keys, which are in lower case but for their middle
   */
  settings(keys: string, scope?: SettingScope): Promise<Map<string, string>>;
  /** Sets a setting to one value, whatever it was. */
  set(scope: SettingScope, key: string, value: string): Promise<void>;
  /** Removes a setting with all its values; one that is not there is no failure. */
  unset(scope: SettingScope, key: string): Promise<void>;
  /** Lists the files and links of a commit that are `path` or lie below it, by path; an empty path means all. */
  filesOf(commit: string, path: string): Promise<SizedFile[]>;
  /** Tells the value of an attribute of each path from the top, whether the path exists or not. */
  attribute(name: string, paths: readonly string[]): Promise<Map<string, string>>;
}

/**
 * Opens the program for the repository that a folder lies in; undefined where it lies in none.
 * @throws MstoreError `git-failed` when PATH has no git
 */
export function openGitProgram(startDir: string, env: NodeJS.ProcessEnv): GitProgram | undefined {
  const layout = findLayout(startDir);
  if (layout === undefined) return undefined;
  const program = findGit(env);
  if (program === undefined) {
    throw new MstoreError('git-failed', 'The program git was not found on PATH', {
      hint: 'Install git: Git LFS needs it as well',
    });
  }
  const run = gitRunner(program, layout.root, env);
  return {
    settings: (keys, scope) => settings(run, keys, scope),
    set: async (scope, key, value) => {
      await run(['config', `--${scope}`, '--replace-all', key, value], {});
    },
    unset: async (scope, key) => {
      // Exit code 5: there is none.
      await run(['config', `--${scope}`, '--unset-all', key], { successCodes: [0, 5] });
    },
    filesOf: (commit, path) => filesOf(run, commit, path),
    attribute: (name, paths) => attribute(run, name, paths),
  };
}

async function settings(
  run: GitRunner,
  keys: string,
  scope: SettingScope | undefined,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const where = scope === undefined ? [] : [`--${scope}`];
  await run(['config', ...where, '--includes', '-z', '--get-regexp', `^(${keys})$`], {
    onData: recordCutter(0, (record) => {
      const text = record.toString('utf8');
      const end = text.indexOf('\n');
      // A key without a value stands for true.
      if (end === -1) found.set(text, 'true');
      else found.set(text.slice(0, end), text.slice(end + 1));
      return true;
    }),
    // Exit code 1: there is none.
    successCodes: [0, 1],
  });
  return found;
}

async function filesOf(run: GitRunner, commit: string, path: string): Promise<SizedFile[]> {
  const files: SizedFile[] = [];
  // It takes plain paths, and no patterns.
  const only = path === '' ? [] : ['--', path];
  await run(['ls-tree', '-r', '-z', '--long', '--full-tree', commit, ...only], {
    withoutFetch: true,
    onData: recordCutter(0, (record) => {
      // MODE SP TYPE SP OID SP+ SIZE TAB PATH
      const tab = record.indexOf(9);
      const [mode, , oid, size] = record.toString('latin1', 0, tab).split(/ +/);
      const name = record.toString('utf8', tab + 1);
      const kind = kindOf[mode ?? ''];
      if (kind === undefined || oid === undefined || name.includes('\ufffd')) return true;
      files.push({ path: name, oid, size: Number(size), kind });
      return true;
    }),
  });
  return files;
}

/** Submodules are no files of this repository. */
const kindOf: Readonly<Record<string, SizedFile['kind']>> = {
  '100644': 'file',
  '100755': 'executable',
  '120000': 'link',
};

async function attribute(
  run: GitRunner,
  name: string,
  paths: readonly string[],
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  if (paths.length === 0) return found;
  let fields: string[] = [];
  await run(['check-attr', '-z', '--stdin', name], {
    input: inParts(paths, '\0'),
    onData: recordCutter(0, (record) => {
      // PATH NUL ATTRIBUTE NUL VALUE NUL
      fields.push(record.toString('utf8'));
      if (fields.length < 3) return true;
      const [path = '', , value = ''] = fields;
      found.set(path, value);
      fields = [];
      return true;
    }),
  });
  return found;
}
