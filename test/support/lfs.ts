import * as fs from 'node:fs';
import * as path from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { type Digest, sha256 } from '../../src/base/digest.ts';
import { type LfsAgentOptions, runLfsAgent } from '../../src/flow/lfs/agent.ts';
import type { Workspace } from '../../src/flow/workspace.ts';
import type { LfsReply } from '../../src/lfs/protocol.ts';

/** An object of Git LFS. */
export interface LfsTestObject {
  readonly oid: Digest;
  readonly bytes: Buffer;
}

/** The same bytes on every machine, as the recorded transcripts have them. */
function recordedBytes(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** What was pushed when the transcripts were recorded. */
export const recordedObjects: readonly LfsTestObject[] = [
  [300_000, 1],
  [5_000, 2],
  [100, 3],
].map(([length = 0, seed = 0]) => {
  const bytes = recordedBytes(length, seed);
  return { oid: sha256(bytes), bytes };
});

const [large, middle, small] = recordedObjects.map(({ oid }) => oid) as [Digest, Digest, Digest];
const upload = (oid: Digest, size: number) =>
  `{"event":"upload","oid":"${oid}","size":${size},"path":"{objects}/${oid.slice(0, 2)}/${oid.slice(2, 4)}/${oid}","action":null}`;
const download = (oid: Digest, size: number) =>
  `{"event":"download","oid":"${oid}","size":${size},"action":null}`;
const init = (operation: string) =>
  `{"event":"init","operation":"${operation}","remote":"origin","concurrent":true,"concurrenttransfers":2}`;

/**
 * What git-lfs 3.3.0 and 3.8.1 alike sent to two agents side by side, in "git push" and "git lfs pull" of the recorded
 * objects, byte for byte but for the folder of objects.
 */
export const transcripts = {
  push: [
    [init('upload'), upload(large, 300_000), upload(small, 100), '{"event":"terminate"}'],
    [init('upload'), upload(middle, 5_000), '{"event":"terminate"}'],
  ],
  pull: [
    [init('download'), download(large, 300_000), download(small, 100), '{"event":"terminate"}'],
    [init('download'), download(middle, 5_000), '{"event":"terminate"}'],
  ],
} as const;

/** Puts an object where Git LFS keeps it, and returns its path. */
export function putLfsObject(root: string, { oid, bytes }: LfsTestObject): string {
  const file = path.join(root, '.git/lfs/objects', oid.slice(0, 2), oid.slice(2, 4), oid);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, bytes);
  return file;
}

/** A reply with all fields that any has. */
export interface AnyReply {
  readonly event?: string;
  readonly oid?: string;
  readonly path?: string;
  readonly bytesSoFar?: number;
  readonly bytesSinceLast?: number;
  readonly error?: { readonly code: number; readonly message: string };
}

/** Runs an agent on lines, and returns what it answers. */
export async function askAgent(
  open: () => Promise<Workspace>,
  lines: readonly (string | object)[],
  options: Partial<LfsAgentOptions> = {},
): Promise<AnyReply[]> {
  const replies: LfsReply[] = [];
  async function* input(): AsyncGenerator<Uint8Array> {
    for (const line of lines) {
      yield Buffer.from(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`);
    }
  }
  await runLfsAgent({
    input: input(),
    write: async (reply) => void replies.push(JSON.parse(Buffer.from(reply).toString())),
    workspace: open,
    clock: systemClock,
    cwd: '/',
    ...options,
  });
  return replies as AnyReply[];
}

/** The answers that end transfers. */
export function completed(replies: readonly AnyReply[]): AnyReply[] {
  return replies.filter(({ event }) => event === 'complete');
}
