import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable, shellWord } from '../../base/names.ts';
import type { LfsAdopted } from '../../flow/lfs/adopt.ts';
import { type Args, flagOf, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { count } from '../text.ts';
import type { TakeRequest } from './import.ts';

/** Above this many paths, Git is asked for them. */
const pathsShown = 4;

/**
 * Takes over what Git LFS keeps: with `--as` as a version, else in the working tree.
 * @param take registers what is opened
 */
export async function importLfs(
  context: Context,
  args: Args,
  take: (request: TakeRequest) => Promise<void>,
): Promise<void> {
  const workspace = await context.workspace();
  const { cwd, signal, progress, options } = context;
  const given = listOf(args, 'paths');
  const paths = given.map((one) => workspace.relative(one, cwd));
  const as = textOf(args, 'as');
  const rev = textOf(args, 'rev');
  if (flagOf(args, 'refresh')) throw unusable('--refresh', 'a commit does not change');
  if (as !== undefined) {
    const [path = '', second] = paths;
    if (second !== undefined) throw unusable('a second path', 'a version is one file or directory');
    const { openLfsSnapshot } = await import('../../flow/lfs/snapshot.ts');
    const { chooser } = await import('../../flow/import/import.ts');
    const patterns = { include: listOf(args, 'include'), exclude: listOf(args, 'exclude') };
    const selection = { path, rev, wanted: chooser(patterns) };
    await take({
      as,
      from: 'lfs',
      open: async (work) => ({ snapshot: await openLfsSnapshot(workspace, selection, work) }),
    });
    return;
  }
  const extra = ['rev', 'path', 'include', 'exclude'].find((name) => args[name] !== undefined);
  if (extra !== undefined) throw unusable(`--${extra}`, 'it belongs to a version: write --as too');
  const { adoptLfs } = await import('../../flow/lfs/adopt.ts');
  const all = paths.length === 0 ? [''] : paths;
  const adopted = await adoptLfs(workspace, all, { signal, progress, jobs: options.jobs });
  for (const warning of adopted.warnings) context.warn(warning);
  tell(context, workspace.root, adopted);
  context.result(adopted, []);
}

function unusable(what: string, why: string): MstoreError {
  return new MstoreError('usage', `"mstore import lfs" cannot use ${what}: ${why}`, {
    hint: 'Run "mstore import --help"',
  });
}

function tell(context: Context, top: string, adopted: LfsAdopted): void {
  const { paths, bytes, attributesRemoved, attributesLeft } = adopted;
  context.note(`Took over ${count(paths.length, 'file')} of Git LFS, ${formatBytes(bytes)}`);
  for (const { file, text } of attributesRemoved) {
    context.note(`Took out of ${printable(file)}: ${printable(text)}`);
  }
  for (const { file, text } of attributesLeft) {
    context.note(`Fits nothing more in ${printable(file)}: ${printable(text)}`);
  }
  context.note(`Next, in ${printable(top)}: ${removal(paths)}`);
  context.note('Then: git add -A && git commit, and mstore push');
}

/** The command that has Git forget the files, which stay. */
function removal(paths: readonly string[]): string {
  if (paths.length <= pathsShown) {
    return `git rm -q --cached -- ${paths.map((path) => shellWord(path)).join(' ')}`;
  }
  return 'git ls-files -ciz --exclude-standard | git rm -q --cached --pathspec-from-file=- --pathspec-file-nul';
}
