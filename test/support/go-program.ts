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

/**
 * Builds a program where no earlier run did, and returns its path. What was built is kept below
 * `node_modules`, one folder for each version. Takes minutes and needs the network; throws when the
 * build fails, with what Go said.
 */
export async function installGoProgram({ from, version, name }: GoProgram): Promise<string> {
  const folder = path.join(cache, `${name}-${version}`);
  const program = path.join(folder, name);
  if (fs.existsSync(program)) return program;
  fs.mkdirSync(cache, { recursive: true });
  const building = fs.mkdtempSync(`${folder}.`);
  try {
    const env = { ...process.env, GOBIN: building, CGO_ENABLED: '0' };
    const args = ['install', '-trimpath', '-ldflags=-s -w', `${from}@${version}`];
    // Waited for without holding up this thread: the test runner wants to hear from it meanwhile.
    await promisify(execFile)('go', args, { env, maxBuffer: 64 * 1024 * 1024 });
    fs.mkdirSync(folder, { recursive: true });
    fs.renameSync(path.join(building, name), program);
    return program;
  } finally {
    fs.rmSync(building, { recursive: true });
  }
}
