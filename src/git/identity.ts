import { devNull, homedir } from 'node:os';
import * as path from 'node:path';
import { gitSettings, readGitConfigFile } from './config-file.ts';
import type { GitLayout } from './layout.ts';
import { readHead } from './refs.ts';

/** Files that include files, and so on; Git's own bound. */
const includeDepthMax = 10;
const includedFilesMax = 1_000;

/**
 * Returns who Git would name as the author, `Name <mail>`, from the environment and the configuration
 * of system, user and repository; undefined where name or mail is not set. Included files count, also
 * those for a certain Git directory or branch; of other conditions (`hasconfig:`) none is met, and
 * where Git keeps the configuration of the system is taken to be `/etc/gitconfig`.
 */
export function readIdentity(layout: GitLayout, env: NodeJS.ProcessEnv): string | undefined {
  const settings = identitySettings(layout, env);
  const name = env.GIT_AUTHOR_NAME || settings.get('author.name') || settings.get('user.name');
  const mail = env.GIT_AUTHOR_EMAIL || settings.get('author.email') || settings.get('user.email');
  const [cleanName, cleanMail] = [withoutCrud(name ?? ''), withoutCrud(mail ?? '')];
  return cleanName === '' || cleanMail === '' ? undefined : `${cleanName} <${cleanMail}>`;
}

/** As Git writes names into commits: nothing that could end the field, and no punctuation around it. */
function withoutCrud(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  const trimmed = text.replace(/^[\u0000- .,:;<>"\\']+|[\u0000- .,:;<>"\\']+$/g, '');
  return trimmed.replace(/[\n<>]/g, '');
}

/** Settings by key, those of stronger files over those of weaker ones. */
function identitySettings(layout: GitLayout, env: NodeJS.ProcessEnv): Map<string, string> {
  const settings = new Map<string, string>();
  let filesLeft = includedFilesMax;
  const readInto = (file: string, depth: number): void => {
    if (depth > includeDepthMax || filesLeft-- <= 0) return;
    for (const [key, value] of gitSettings(readGitConfigFile(file))) {
      const condition = /^include(?:if\.(.+))?\.path$/s.exec(key);
      if (condition === null) settings.set(key, value);
      else if (condition[1] === undefined || isMet(condition[1], path.dirname(file), layout, env)) {
        readInto(path.resolve(path.dirname(file), atHome(value, env)), depth + 1);
      }
    }
  };
  for (const file of configFiles(layout, env)) readInto(file, 0);
  for (let i = 0; i < Math.min(Number(env.GIT_CONFIG_COUNT ?? 0) || 0, includedFilesMax); i++) {
    const key = env[`GIT_CONFIG_KEY_${i}`]?.toLowerCase();
    if (key !== undefined) settings.set(key, env[`GIT_CONFIG_VALUE_${i}`] ?? '');
  }
  return settings;
}

/** The files of the system, the user and the repository, the weakest first. */
function configFiles(layout: GitLayout, env: NodeJS.ProcessEnv): string[] {
  const withoutSystem = /^(?:1|true|yes|on)$/i.test(env.GIT_CONFIG_NOSYSTEM ?? '');
  const system = withoutSystem ? [] : [env.GIT_CONFIG_SYSTEM ?? '/etc/gitconfig'];
  const home = homeOf(env);
  const user =
    env.GIT_CONFIG_GLOBAL === undefined
      ? [
          path.join(env.XDG_CONFIG_HOME || path.join(home, '.config'), 'git/config'),
          path.join(home, '.gitconfig'),
        ]
      : [env.GIT_CONFIG_GLOBAL];
  // Set to the null device, a variable means none.
  const outside = [...system, ...user].filter((file) => file !== '' && file !== devNull);
  return [...outside, path.join(layout.commonDir, 'config')];
}

function homeOf(env: NodeJS.ProcessEnv): string {
  return env.HOME || env.USERPROFILE || homedir();
}

function atHome(file: string, env: NodeJS.ProcessEnv): string {
  return file.replace(/^~(?=\/|$)/, () => homeOf(env));
}

function isMet(
  condition: string,
  folder: string,
  layout: GitLayout,
  env: NodeJS.ProcessEnv,
): boolean {
  const match = /^(gitdir|gitdir\/i|onbranch):(.+)$/s.exec(condition);
  if (match === null) return false;
  const pattern = match[2] ?? '';
  if (match[1] === 'onbranch') {
    const branch = readHead(layout).name?.replace(/^refs\/heads\//, '');
    return branch !== undefined && fits(branch, pattern, false);
  }
  let wanted = atHome(pattern, env).replace(/^\.(?=\/)/, () => folder);
  if (!path.isAbsolute(wanted)) wanted = `**/${wanted}`;
  const directory = layout.gitDir.split(path.sep).join('/');
  return fits(directory, wanted, match[1] === 'gitdir/i');
}

/** Git's wildcards: `**` passes slashes, `*` and `?` do not; a slash at the end means all below. */
function fits(text: string, pattern: string, ignoreCase: boolean): boolean {
  const source = (pattern.endsWith('/') ? `${pattern}**` : pattern)
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*\*\/|\*\*|\*|\?/g, (sign) => wildcards[sign] ?? sign);
  return new RegExp(`^${source}$`, ignoreCase ? 'is' : 's').test(text);
}

const wildcards: Readonly<Record<string, string>> = {
  '**/': '(?:.*/)?',
  '**': '.*',
  '*': '[^/]*',
  '?': '[^/]',
};
