import * as fs from 'node:fs';
import * as path from 'node:path';

const foundOnPath = new Map<string, string | undefined>();
const pathsKeptMax = 64;

/**
 * Looks for the program `git` in the folders of PATH. Relative folders are passed over: there, a
 * repository could bring its own `git`. The answer for one PATH is kept.
 */
export function findGit(env: NodeJS.ProcessEnv): string | undefined {
  const windows = process.platform === 'win32';
  // Windows writes the name in any case.
  const key = windows ? Object.keys(env).find((name) => name.toUpperCase() === 'PATH') : 'PATH';
  const folders = env[key ?? 'PATH'] ?? '';
  if (foundOnPath.has(folders)) return foundOnPath.get(folders);
  const program = folders
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, windows ? 'git.exe' : 'git'))
    .find(isProgram);
  if (foundOnPath.size >= pathsKeptMax) foundOnPath.clear();
  foundOnPath.set(folders, program);
  return program;
}

function isProgram(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}
