import { userInfo } from 'node:os';
import { throwIfAborted } from '../base/abort.ts';
import { printable } from '../base/names.ts';
import { enterFolder, onRemote, type Place } from './local-files.ts';
import type { RemoteProbe } from './remote.ts';

/** What a directory remote can tell beyond the contract. */
export function localProbe(place: Place): RemoteProbe {
  const within = `the folder ${place.location} and those in it`;
  const owner = 'ask its owner, or change group and mode';
  const write = `permission to write to ${within}: ${owner} (chmod g+rwxs)`;
  return {
    rights: {
      read: `permission to read the files in ${within}: ${owner} (chmod g+r)`,
      list: `permission to read ${within}: ${owner} (chmod g+rx)`,
      write,
      parts: write,
      delete: write,
    },
    endpoint: async () => place.location,
    identity: async () => userName(),
    async reach(options) {
      throwIfAborted(options?.signal);
      await onRemote(place, 'open', () => enterFolder(place, []));
    },
  };
}

/** The user of this process, as far as the system has a name for it. */
function userName(): string {
  try {
    const { username, uid } = userInfo();
    return uid === -1 ? printable(username) : `${printable(username)}, user id ${uid}`;
  } catch {
    // Containers run as users that no file names.
    return `user id ${process.getuid?.() ?? 'unknown'}`;
  }
}
