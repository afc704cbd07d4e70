import * as fs from 'node:fs';
import * as path from 'node:path';
import pLimit from 'p-limit';
import { fromSystemError } from '../base/errors.ts';
import { ensureFolder, publishReplacing, removeFile, syncFolder } from '../base/files.ts';
import type { PackFooter } from '../pack/format.ts';
import { indexKey, packKey } from './keys.ts';
import type { Store } from './local-store.ts';

/** Small objects flushed at once; the disk joins flushes that wait together. */
const flushesAtOnce = 8;

/**
 * Publishes small objects under their keys: all are written and flushed before the first is visible.
 * An object that exists is replaced by the same bytes, which also heals a damaged one.
 */
export async function publishObjects(
  store: Store,
  objects: ReadonlyArray<{ key: string; bytes: Uint8Array }>,
): Promise<void> {
  const limit = pLimit(flushesAtOnce);
  const staged = await Promise.allSettled(
    objects.map(({ key, bytes }) =>
      limit(async () => {
        const temp = store.tempFile();
        try {
          await fs.promises.writeFile(temp, bytes, { flag: 'wx', flush: true });
        } catch (error) {
          removeFile(temp);
          throw fromSystemError(error, `writing ${store.file(key)}`);
        }
        return { temp, target: store.file(key) };
      }),
    ),
  );
  const failed = staged.find((result) => result.status === 'rejected');
  const ready = staged.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  if (failed !== undefined) {
    for (const { temp } of ready) removeFile(temp);
    throw failed.reason;
  }
  publishTemps(ready);
}

/** Gives complete, flushed temporary files their names and flushes the folders. */
function publishTemps(files: ReadonlyArray<{ temp: string; target: string }>): void {
  const folders = new Set<string>();
  let target = '';
  try {
    for (const file of files) {
      target = file.target;
      const folder = path.dirname(target);
      if (!folders.has(folder)) ensureFolder(folder);
      publishReplacing(file.temp, target);
      folders.add(folder);
    }
    for (const folder of folders) syncFolder(folder);
  } catch (error) {
    for (const { temp } of files) removeFile(temp);
    throw fromSystemError(error, `writing ${target}`);
  }
}

/**
 * Publishes a complete, flushed pack: the pack first, its index object after it, so that an index never
 * speaks of a pack that is not there. The open index learns of the pack.
 */
export async function publishPack(store: Store, temp: string, footer: PackFooter): Promise<void> {
  publishTemps([{ temp, target: store.file(packKey(footer.id)) }]);
  await publishObjects(store, [{ key: indexKey(footer.id), bytes: footer.bytes }]);
  store.addPack(footer);
}
