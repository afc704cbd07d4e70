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

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const crud = /[\u0000- .,:;<>"\\']/;

/** As Git writes names into commits: nothing that could end the field, and no punctuation around it. */
function withoutCrud(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && crud.test(text.charAt(start))) start++;
  while (end > start && crud.test(text.charAt(end - 1))) end--;
  return text.slice(start, end).replace(/[\n<>]/g, '');
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

/**
 * Git's wildcards: `**` passes slashes, `*` and `?` do not; a slash at the end means all below. Which places
 * of the text the pattern reaches is followed part by part, so that no pattern takes more time than the
 * product of both lengths.
 */
function fits(given: string, wanted: string, ignoreCase: boolean): boolean {
  const [text, whole] = ignoreCase ? [given.toLowerCase(), wanted.toLowerCase()] : [given, wanted];
  const pattern = whole.endsWith('/') ? `${whole}**` : whole;
  if (Math.max(text.length, pattern.length) > patternLengthMax) return false;
  let reached = [...Array(text.length + 1).keys()].map((at) => at === 0);
  for (const [sign] of pattern.matchAll(/\*\*\/|\*\*|./gs)) {
    let open = false;
    reached = reached.map((here, at) => {
      const last = text.charAt(at - 1);
      const before = at > 0 && reached[at - 1] === true;
      if (sign === '**/') {
        open ||= before;
        return here || (open && last === '/');
      }
      if (sign === '*' || sign === '**') {
        open = here || (open && (sign === '**' || last !== '/'));
        return open;
      }
      return before && (sign === '?' ? last !== '/' : last === sign);
    });
  }
  return reached[text.length] === true;
}

/** Paths are not longer, and longer conditions are met by none. */
const patternLengthMax = 4_096;
