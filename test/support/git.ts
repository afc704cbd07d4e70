import * as childProcess from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll } from 'vitest';

/** Settings under which all tests run Git: nothing of the user's, and fixed names and dates. */
export const gitTestEnv: NodeJS.ProcessEnv = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'))),
  GIT_CONFIG_GLOBAL: os.devNull,
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Test',
  GIT_AUTHOR_EMAIL: 'test@example.com',
  GIT_AUTHOR_DATE: '2024-01-01T00:00:00Z',
  GIT_COMMITTER_NAME: 'Test',
  GIT_COMMITTER_EMAIL: 'test@example.com',
  GIT_COMMITTER_DATE: '2024-01-01T00:00:00Z',
  LC_ALL: 'C',
};

const made: string[] = [];
afterAll(() => {
  for (const folder of made.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

/** Makes an empty folder, links in its path resolved; removed when the test file has ended. */
export function tempFolder(): string {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'mstore-git-')));
  made.push(folder);
  return folder;
}

/** Runs Git and returns what it writes, without the last line feed; throws when Git fails. */
export function git(cwd: string, ...args: string[]): string {
  return gitWithInput(cwd, '', ...args);
}

/** As {@link git}, with standard input. */
export function gitWithInput(cwd: string, input: string | Buffer, ...args: string[]): string {
  const settings = ['init.defaultBranch=main', 'protocol.file.allow=always', 'gc.auto=0'];
  const output = childProcess.execFileSync(
    'git',
    [...settings.flatMap((s) => ['-c', s]), ...args],
    {
      cwd,
      input,
      env: gitTestEnv,
      stdio: ['pipe', 'pipe', 'pipe'],
      encoding: 'utf8',
    },
  );
  return output.replace(/\n$/, '');
}

/** Makes a repository without commits, whose branch is `main`; further arguments go to `git init`. */
export function makeRepo(...args: string[]): string {
  const folder = tempFolder();
  git(folder, 'init', '-q', ...args);
  return folder;
}

/** Writes files (null removes one) and commits all that changed; returns the commit's id. */
export function commitFiles(repo: string, files: Record<string, string | null>): string {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(repo, name);
    if (text === null) {
      fs.rmSync(file);
      continue;
    }
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  }
  git(repo, 'add', '-A', '-f', '.');
  git(repo, 'commit', '-q', '--allow-empty', '-m', 'A commit');
  return git(repo, 'rev-parse', 'HEAD');
}
