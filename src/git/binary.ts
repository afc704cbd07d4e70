import { invariant, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { sortEntries } from '../base/tree.ts';
import {
  annotatedTags,
  type Binary,
  createTag,
  head,
  keptCommits,
  references,
  resolveAll,
} from './binary-refs.ts';
import { checkObjectId, isRegularMode, notAFile, tooLarge } from './checks.ts';
import {
  type ConfiguredPrograms,
  configuredPrograms,
  explainedFetch,
  withoutFilters,
} from './configured-programs.ts';
import { type GitLayout, otherRoots } from './layout.ts';
import { anyUntracked, remoteUrlOf } from './lineage.ts';
import { type GitRunner, gitFailure, gitRunner } from './process.ts';
import type { GitFile, GitLineage, GitRepository, HistoricFile } from './repository.ts';
import { formatRevision, isObjectId, parseRevision } from './revision.ts';
import { batchReader, inParts, recordCutter } from './stream-records.ts';

/**
 * Opens a repository whose questions are answered by the program `git`, one process for each call.
 * Names and ids reach Git through its standard input, or as arguments only after they were found
 * harmless. Paths that are not valid UTF-8 are left out of all lists, as mstore cannot name them.
 * @param program absolute path of the program
 * @param env the environment to start from; variables that lead Git elsewhere are removed
 */
export function openBinary(
  layout: GitLayout,
  program: string,
  env: NodeJS.ProcessEnv,
): GitRepository {
  const git = makeBinary(layout, gitRunner(program, layout.root, env));
  return {
    root: layout.root,
    commonDir: layout.commonDir,
    mainRoot: layout.mainRoot,
    kind: 'binary',
    head: () => head(git),
    resolve: async (rev) => {
      const revision = parseRevision(rev);
      if (revision === undefined) return undefined;
      return (await resolveAll(git, [formatRevision(revision)]))[0];
    },
    listFiles: (commit, suffix) => listFiles(git, commit, suffix),
    readFiles: (oids, bytesMax, use) => readFiles(git, oids, bytesMax, use),
    references: () => references(git),
    keptCommits: () => keptCommits(git),
    indexedFiles: (suffix) => indexedFiles(git, suffix),
    otherRoots: () => otherRoots(layout),
    annotatedTags: (wanted) => annotatedTags(git, wanted),
    createTag: (tag) => createTag(git, tag),
    history: (from, suffix) => history(git, from, suffix),
    ignored: (paths) => ignored(git, paths),
    trackedBelow: (path, max) => trackedBelow(git, path, max),
    lineage: (paths = []) => lineage(git, paths),
    identity: () => identity(git),
  };
}

/**
 * Makes Git fetch what is absent in a partial clone alone, and there only where the repository itself
 * names no program that a connection would start.
 */
function makeBinary(layout: GitLayout, run: GitRunner): Binary {
  let asked: Promise<ConfiguredPrograms> | undefined;
  const programs = (): Promise<ConfiguredPrograms> => {
    asked ??= configuredPrograms(layout, run);
    return asked;
  };
  return {
    layout,
    programs,
    async run(args, how) {
      if (!layout.partialClone || how.withoutFetch) {
        return run(args, { ...how, withoutFetch: true });
      }
      const { connecting } = await programs();
      try {
        return await run(args, { ...how, withoutFetch: connecting.length > 0 });
      } catch (error) {
        throw explainedFetch(error, connecting);
      }
    },
  };
}

async function listFiles(git: Binary, commit: string, suffix: string): Promise<GitFile[]> {
  checkObjectId(commit);
  const files: GitFile[] = [];
  await git.run(['ls-tree', '-r', '-z', '--full-tree', commit], {
    onData: recordCutter(0, (record) => {
      // MODE SP TYPE SP OID TAB PATH
      const tab = record.indexOf(9);
      const [mode, , oid] = record.toString('latin1', 0, tab).split(' ');
      const path = fittingPath(record.subarray(tab + 1), suffix);
      if (path === undefined || !isRegularMode(mode) || oid === undefined) return true;
      files.push({ path, oid });
      return true;
    }),
  });
  return sortEntries(files);
}

async function readFiles(
  git: Binary,
  oids: readonly string[],
  bytesMax: number,
  use: (oid: string, content: Buffer) => void,
): Promise<void> {
  const wanted = new Set(oids);
  for (const oid of wanted) checkObjectId(oid);
  if (wanted.size === 0) return;
  const connecting = git.layout.partialClone ? (await git.programs()).connecting : [];
  if (git.layout.partialClone && connecting.length === 0 && wanted.size > 1) {
    await prefetch(git, wanted);
  }
  let current = '';
  let absent: string | undefined;
  const stderr = await git.run(['cat-file', '--batch', '--buffer'], {
    input: inParts(wanted, '\n'),
    onData: batchReader({
      header: (words) => {
        const size = Number(words[2]);
        if (words[1] === 'missing' || !Number.isSafeInteger(size)) {
          absent ??= words[0];
          return undefined;
        }
        current = words[0] ?? '';
        if (words[1] !== 'blob') throw notAFile(current, words[1]);
        if (size > bytesMax) throw tooLarge(current, size, bytesMax);
        return size;
      },
      content: (bytes) => {
        wanted.delete(current);
        use(current, bytes);
      },
    }),
  });
  if (wanted.size === 0) return;
  const [first] = absent === undefined ? wanted : [absent];
  const text = `fatal: object ${first} is missing\n${stderr}`;
  throw explainedFetch(gitFailure('cat-file', 0, text, git.layout.root), connecting);
}

/**
 * Lets Git fetch all absent contents of a partial clone at once: `cat-file` would open one connection
 * for each. Making a pack needs them all, so Git gets them first; the pack itself is thrown away.
 */
async function prefetch(git: Binary, oids: ReadonlySet<string>): Promise<void> {
  await git.run(
    [
      '-c',
      'pack.compression=0',
      'pack-objects',
      '--stdout',
      '-q',
      '--window=0',
      '--no-reuse-delta',
    ],
    { input: inParts(oids, '\n') },
  );
}

async function history(
  git: Binary,
  from: readonly string[],
  suffix: string,
): Promise<HistoricFile[]> {
  for (const commit of from) checkObjectId(commit);
  // Without a commit, Git would begin at HEAD.
  if (from.length === 0) return [];
  const found = new Map<string, HistoricFile>();
  const onRecord = rawLogReader(({ commit, time }, oid, pathBytes) => {
    const path = fittingPath(pathBytes, suffix);
    if (path === undefined) return;
    const key = `${oid} ${path}`;
    const before = found.get(key);
    if (before === undefined || time < before.time) found.set(key, { path, oid, commit, time });
  });
  // --full-history: else Git skips side branches whose changes a merge threw away. -m: a merge is
  // compared with each parent, so that what only the merge itself brought is seen.
  await git.run(
    [
      ...['-c', 'log.follow=false', '-c', 'log.showSignature=false'],
      ...['log', '--full-history', '-m', '--root', '--raw', '-z', '--no-abbrev', '--no-renames'],
      ...['--no-color', '--no-notes', '--no-ext-diff', '--no-textconv', '--diff-filter=AMT'],
      ...['--format=%H %ct', '--stdin', '--'],
      `:(top,glob)**/*${suffix.replace(/[\\*?[\]]/g, '\\$&')}`,
    ],
    { input: inParts(new Set(from), '\n'), onData: recordCutter(0, onRecord) },
  );
  return [...found.values()];
}

/** Reads `log --raw -z --format='%H %ct'`: commits with their times, and pairs of a line of ids and a path. */
function rawLogReader(
  onFile: (at: { commit: string; time: number }, oid: string, path: Buffer) => void,
): (record: Buffer) => boolean {
  let at = { commit: '', time: 0 };
  let change: readonly string[] | undefined;
  return (record) => {
    if (change !== undefined) {
      // :OLDMODE SP NEWMODE SP OLDOID SP NEWOID SP LETTER
      const [, mode, , oid] = change;
      if (isRegularMode(mode) && oid !== undefined) onFile(at, oid, record);
      change = undefined;
      return true;
    }
    const text = record.toString('latin1').replace(/^\n+/, '');
    const [commit = '', seconds] = text.split(' ');
    if (text.startsWith(':')) change = text.split(' ');
    else if (isObjectId(commit)) at = { commit, time: Number(seconds) * 1000 };
    else if (text !== '') throw new MstoreError('git-failed', `Git log said ${printable(text)}`);
    return true;
  };
}

async function ignored(git: Binary, paths: readonly string[]): Promise<Set<string>> {
  for (const path of paths) invariant(!path.includes('\0'), 'a path without a NUL byte');
  const result = new Set<string>();
  if (paths.length === 0) return result;
  // The dot in front keeps a leading colon from being read as pathspec magic.
  await git.run(['check-ignore', '-z', '--stdin'], {
    input: inParts(
      paths.map((path) => `./${path}`),
      '\0',
    ),
    onData: recordCutter(0, (record) => {
      result.add(record.toString('utf8').slice(2));
      return true;
    }),
    // Exit code 1: none is ignored.
    successCodes: [0, 1],
  });
  return result;
}

async function trackedBelow(git: Binary, path: string, max: number): Promise<string[]> {
  invariant(!path.includes('\0'), 'a path without a NUL byte');
  const found = new Set<string>();
  const below = path.replace(/\/+$/, '');
  const only = below === '' || below === '.' ? [] : [`:(top,literal)${below}`];
  if (max <= 0) return [];
  await git.run(['ls-files', '-z', '--', ...only], {
    onData: recordCutter(0, (record) => {
      // A file in conflict is listed once for each of its versions.
      const tracked = fittingPath(record, '');
      if (tracked !== undefined) found.add(tracked);
      return found.size < max;
    }),
  });
  return [...found];
}

async function indexedFiles(git: Binary, suffix: string): Promise<GitFile[]> {
  const found = new Map<string, GitFile>();
  // Indexes name trees too (their cache); the filter leaves the files.
  const which = ['--objects', '--no-walk', '--indexed-objects', '--filter=object:type=blob'];
  await git.run(['rev-list', ...which], {
    onData: recordCutter(10, (record) => {
      const oid = record.toString('latin1', 0, record.indexOf(32));
      const path = fittingPath(record.subarray(oid.length + 1), suffix);
      if (path !== undefined && isObjectId(oid)) found.set(`${oid} ${path}`, { path, oid });
      return true;
    }),
  });
  return sortEntries([...found.values()]);
}

async function lineage(git: Binary, paths: readonly string[]): Promise<GitLineage> {
  const settings: Array<readonly [string, string]> = [];
  let differs = false;
  // Git runs the filters of a file whose times have changed, to see whether its content has.
  const { filters } = await git.programs();
  const [at, untracked] = await Promise.all([
    head(git),
    anyUntracked(git.layout.root, paths, (path) => trackedBelow(git, path, 1)),
    git.run(
      [
        ...withoutFilters(filters),
        ...['status', '--porcelain', '-z', '--untracked-files=no', '--ignore-submodules=dirty'],
        '--no-renames',
      ],
      {
        onData: (chunk) => {
          differs ||= chunk.length > 0;
          return false;
        },
      },
    ),
    git.run(['config', '--local', '--no-includes', '-z', '--get-regexp', '^remote\\..*\\.url$'], {
      onData: recordCutter(0, (record) => {
        const [key = '', ...value] = record.toString('utf8').split('\n');
        settings.push([key, value.join('\n')]);
        return true;
      }),
      // Exit code 1: there is none.
      successCodes: [0, 1],
    }),
  ]);
  return { ...at, dirty: differs || untracked, remoteUrl: remoteUrlOf(settings) };
}

async function identity(git: Binary): Promise<string | undefined> {
  let line = '';
  const stderr = await git.run(['-c', 'user.useConfigOnly=true', 'var', 'GIT_AUTHOR_IDENT'], {
    onData: (chunk) => {
      line += chunk.toString('utf8');
      return line.length < 64 * 1024;
    },
    successCodes: [0, 128],
  });
  // Behind the mail stand the time and its zone.
  const found = /^([^<>]*<[^<>]*>) -?\d+ [-+]\d{4}\n?$/.exec(line)?.[1];
  if (found !== undefined) return /^\s*<|<>$/.test(found) ? undefined : found;
  if (/auto-detection is disabled|empty ident name|consists only of disallowed/.test(stderr)) {
    return undefined;
  }
  throw gitFailure('var', 128, stderr, git.layout.root);
}

/** Decodes a path that ends with `suffix`; undefined for others, and for those that are not UTF-8. */
function fittingPath(bytes: Buffer, suffix: string): string | undefined {
  const path = bytes.toString('utf8');
  return path.endsWith(suffix) && !path.includes('\ufffd') ? path : undefined;
}
