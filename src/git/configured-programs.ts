import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { GitLayout } from './layout.ts';
import type { GitRunner } from './process.ts';
import { recordCutter } from './stream-records.ts';

/** What the configuration of a repository itself, not that of its user, would have Git run. */
export interface ConfiguredPrograms {
  /** Names of filters with a program that reads files of the working tree. */
  readonly filters: readonly string[];
  /** Settings that name programs for connections, or open protocols that Git keeps closed. */
  readonly connecting: readonly string[];
}

const filterKeys = 'filter\\..*\\.(clean|process)';
const connectingKeys =
  'core\\.(sshcommand|gitproxy|askpass|alternaterefscommand)|credential\\.(.*\\.)?helper|remote\\..*\\.(uploadpack|vcs)|protocol\\.(.*\\.)?allow';

/**
 * Asks Git what programs the files in a Git directory name: `config`, what it includes, and that of the
 * working tree. Whoever unpacks an archive gets these from somebody else, as an unpacked `.git` belongs to
 * the user and is trusted by Git.
 * @throws MstoreError `git-failed`
 */
export async function configuredPrograms(
  layout: GitLayout,
  run: GitRunner,
): Promise<ConfiguredPrograms> {
  const [filters, connecting] = [new Set<string>(), new Set<string>()];
  const onData = recordCutter(0, (record) => {
    const key = record.toString('utf8');
    const filter = /^filter\.(.+)\.[a-z]+$/s.exec(key)?.[1];
    if (filter === undefined) connecting.add(key);
    else filters.add(filter);
    return true;
  });
  for (const file of layout.worktreeConfig ? ['--local', '--worktree'] : ['--local']) {
    const search = ['--get-regexp', `^(${filterKeys}|${connectingKeys})$`];
    await run(['config', file, '--includes', '-z', '--name-only', ...search], {
      onData,
      // Exit code 1: there is none.
      successCodes: [0, 1],
      withoutFetch: true,
    });
  }
  return { filters: [...filters], connecting: [...connecting] };
}

/**
 * Returns the arguments that take the programs of filters away for one run of Git.
 * @throws MstoreError `git-failed` for a name that no argument can hold
 */
export function withoutFilters(names: readonly string[]): string[] {
  return names.flatMap((name) => {
    if (name.includes('=')) {
      throw new MstoreError('git-failed', `Git has a filter of the name ${printable(name)}`, {
        hint: 'Rename the filter in .git/config, so that its name has no "="',
      });
    }
    const settings = ['clean=', 'process=', 'required=false'];
    return settings.flatMap((setting) => ['-c', `filter.${name}.${setting}`]);
  });
}

/**
 * Tells of a failure in a partial clone that Git was kept from fetching, where that may be the reason.
 * @param connecting the settings for which it was
 */
export function explainedFetch(error: unknown, connecting: readonly string[]): unknown {
  const [first] = connecting;
  if (first === undefined || !(error instanceof MstoreError) || error.code !== 'git-failed') {
    return error;
  }
  if (!/missing|promisor|not allowed|could not fetch|unable to|bad object/i.test(error.message)) {
    return error;
  }
  return new MstoreError('git-failed', error.message, {
    hint: `In this partial clone Git fetches nothing for mstore, since .git/config sets ${printable(first)}, which can name a program: set it for yourself instead (git config --global), or fetch all objects (git fetch --refetch --no-filter)`,
    details: { ...error.details, setting: first },
    cause: error,
  });
}
