import { hostname, userInfo } from 'node:os';
import { printable } from '../base/names.ts';
import type { Workspace } from './workspace.ts';

/**
 * Tells who acts, for records: `core.author` where it is set, else who Git would name as the author of
 * a commit, else `USER@HOST`. One line; nothing proves that it is true.
 * @throws MstoreError `git-failed` where Git cannot read its configuration
 */
export async function authorOf(workspace: Workspace): Promise<string> {
  const author = workspace.config.string('core.author') ?? (await workspace.git?.identity());
  return printable(author ?? `${userName(workspace.surroundings.env)}@${hostname()}`);
}

function userName(env: NodeJS.ProcessEnv): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run under a number that no user has.
    return env.USER || env.LOGNAME || String(process.getuid?.() ?? 'unknown');
  }
}
