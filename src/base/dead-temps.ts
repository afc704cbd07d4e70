import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Clock, systemClock } from './clock.ts';
import { tempOwner } from './files.ts';
import { ownerIsGone } from './host.ts';

/**
 * Lists temporary files and folders whose makers have surely ended, as absolute paths.
 * @param prefix only those whose names start so
 */
export function deadTemps(folder: string, prefix = '', clock: Clock = systemClock): string[] {
  let names: string[];
  try {
    names = fs.readdirSync(folder);
  } catch {
    return [];
  }
  const places = names.filter((name) => name.startsWith(prefix));
  return places.flatMap((name) => {
    const owner = tempOwner(name);
    if (owner === undefined) return [];
    const full = path.join(folder, name);
    try {
      const idleMs = clock.now() - fs.lstatSync(full).mtimeMs;
      return ownerIsGone(owner, idleMs) ? [full] : [];
    } catch {
      // Another process clears the same file.
      return [];
    }
  });
}

/**
 * Removes what {@link deadTemps} lists.
 * @returns how many were removed
 */
export function clearDeadTemps(folder: string, prefix = '', clock: Clock = systemClock): number {
  let removed = 0;
  for (const full of deadTemps(folder, prefix, clock)) {
    try {
      fs.rmSync(full, { recursive: true, force: true });
      removed++;
    } catch {
      // It may not be removed: it does no harm where it is.
    }
  }
  return removed;
}
