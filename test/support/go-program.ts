import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';

/** A program that `go install` builds, of one version. */
export interface GoProgram {
  /** Path of the package. */
  readonly from: string;
  readonly version: string;
  /** Name of the file that the build makes. */
  readonly name: string;
}

const cache = path.resolve(import.meta.dirname, '../../node_modules/.cache/mstore-servers');

function placeOf({ name, version }: GoProgram): string {
  return path.join(cache, `${name}-${version}`);
}

/** Returns the path of a program that an earlier run built; undefined where none did. */
export function builtGoProgram(program: GoProgram): string | undefined {
  const file = path.join(placeOf(program), program.name);
  return fs.existsSync(file) ? file : undefined;
}

/**
 * Builds a program where no earlier run did, and returns its path. What was built is kept below
 * `node_modules`, one folder for each version. Takes minutes and needs the network; throws when the
 * build fails, with what Go said.
 */
export async function installGoProgram(program: GoProgram): Promise<string> {
  const built = builtGoProgram(program);
  if (built !== undefined) return built;
  const { from, version, name } = program;
  const folder = placeOf(program);
  fs.mkdirSync(cache, { recursive: true });
  const building = fs.mkdtempSync(`${folder}.`);
  try {
    const env = { ...process.env, GOBIN: building, CGO_ENABLED: '0' };
    const args = ['install', '-trimpath', '-ldflags=-s -w', `${from}@${version}`];
    // Waited for without holding up this thread: the test runner wants to hear from it meanwhile.
    await promisify(execFile)('go', args, { env, maxBuffer: 64 * 1024 * 1024 });
    fs.mkdirSync(folder, { recursive: true });
    fs.renameSync(path.join(building, name), path.join(folder, name));
    return path.join(folder, name);
  } finally {
    fs.rmSync(building, { recursive: true });
  }
}
