import * as path from 'node:path';
import type { Workspace } from './workspace.ts';

/** A directory in or beside the workspace is kept relative to it, so that it moves along. */
export function portableUrl(workspace: Workspace, url: string, cwd: string): string {
  const relative =
    /^\.{1,2}(?:[\\/]|$)/.test(url) ||
    !(
      url.includes('://') ||
      path.isAbsolute(url) ||
      url.startsWith('~') ||
      /^[^/\\]{2,}:/.test(url)
    );
  if (!relative) return url;
  const fromRoot = path.relative(workspace.root, path.resolve(cwd, url)).split(path.sep).join('/');
  if (fromRoot === '') return '.';
  return fromRoot.startsWith('..') ? fromRoot : `./${fromRoot}`;
}

/**
 * Tells whether a directory remote lies in the workspace, where Git would pick its packs up.
 * @param url as {@link listRemotes} gives it
 */
export function liesInWorkspace(workspace: Workspace, url: string): boolean {
  if (url.includes('://') || url.startsWith('~')) return false;
  const relative = path.relative(workspace.root, path.resolve(workspace.root, url));
  return !relative.startsWith('..') && !path.isAbsolute(relative);
}
