import * as fs from 'node:fs';
import type { PromiseFsClient } from 'isomorphic-git';
import { MstoreError } from '../base/errors.ts';

/**
 * The file system as isomorphic-git sees it: reading only, and without a round trip through the thread
 * pool. It looks for each object as a loose file first, and the waiting for those answers was most of
 * the time of a long history.
 */
export function readOnlyFs(): PromiseFsClient {
  return {
    promises: {
      readFile: async (file: string, options?: ReadOptions) => {
        if (!fs.existsSync(file)) throw notThere;
        return fs.readFileSync(file, options);
      },
      readdir: async (folder: string) => fs.readdirSync(folder),
      stat: async (file: string) => present(fs.statSync(file, { throwIfNoEntry: false })),
      lstat: async (file: string) => present(fs.lstatSync(file, { throwIfNoEntry: false })),
      readlink: async (file: string) => fs.readlinkSync(file),
      writeFile: refuse,
      mkdir: refuse,
      rmdir: refuse,
      unlink: refuse,
      symlink: refuse,
      chmod: refuse,
    },
  };
}

type ReadOptions = { encoding?: BufferEncoding } | BufferEncoding;

/** One error for all: most objects are not loose, and making an error costs more than looking. */
const notThere = Object.assign(new Error('no such file'), { code: 'ENOENT' });

function present(stat: fs.Stats | undefined): fs.Stats {
  if (stat === undefined) throw notThere;
  return stat;
}

async function refuse(): Promise<never> {
  throw new MstoreError('internal', 'Broken invariant: reading a Git repository wrote to it');
}
