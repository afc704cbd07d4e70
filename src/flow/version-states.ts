import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { StateEntry, VersionState } from '../registry/entry.ts';
import { logPrefix, versionKey } from '../registry/keys.ts';
import { type ModelNames, type NewEntry, type Registry, stateLog } from '../registry/registry.ts';
import { rollbackVersions } from '../registry/timeline.ts';
import { authorOf } from './author.ts';
import { type ChangeOptions, DecidingRegistry } from './deciding-registry.ts';
import { GitTags, writeTags } from './git-tags.ts';
import type { Workspace } from './workspace.ts';

/** Versions that an environment keeps to go back to, unless the configuration says otherwise. */
const rollbackWindowDefault = 3;

/** What {@link setVersionState} did. */
export interface StateResult {
  readonly model: string;
  readonly version: string;
  readonly state: VersionState;
  readonly before: VersionState;
  /** Whether it was in that state already. */
  readonly unchanged: boolean;
  readonly remote?: string;
  /** Names of the Git tags that were made; absent where none were asked for. */
  readonly gitTags?: readonly string[];
  /** What should be known, such as that the change could not be logged. */
  readonly warnings: readonly string[];
}

/** How many versions an environment keeps to go back to. */
export function rollbackWindow({ config }: Workspace): number {
  return config.integer('registry.rollback_window') ?? rollbackWindowDefault;
}

/**
 * Brings a version to another state. Its record and its data stay; a version that is deleted is found by
 * no reference any more, and its name is never given again.
 * @throws MstoreError `version-in-use` when an environment names it or may go back to it
 */
export async function setVersionState(
  workspace: Workspace,
  target: { readonly model: string; readonly version: string; readonly state: VersionState },
  options: ChangeOptions = {},
): Promise<StateResult> {
  const { model, state } = target;
  const { remote, reason, force = false } = options;
  const deciding = await DecidingRegistry.open(workspace, model, options);
  const { registry } = deciding;
  const found = await deciding.find(model, target.version);
  const { version } = found.record.value;
  const log = stateLog(model, version);
  deciding.requirePushed([versionKey(model, version), logPrefix(log)], `${model}@${version}`);
  const unchanged = found.state === state;
  const where = remote === undefined ? {} : { remote: remote.name };
  const result = { model, version, state, before: found.state, unchanged, ...where };
  const tags = options.gitTag ? await GitTags.open(workspace, model) : undefined;
  tags?.planState(version, state === 'active', reason);
  if (unchanged) {
    await registry.settle();
    return { ...result, ...(await writeTags(tags)), warnings: [] };
  }
  if (state !== 'active' && !force) {
    await checkUnused(registry, await registry.namesOf(model), version, rollbackWindow(workspace));
  }
  const draft: NewEntry<StateEntry> = {
    model,
    version,
    state,
    at: new Date(workspace.surroundings.clock.now()).toISOString(),
    by: options.by ?? (await authorOf(workspace)),
    ...(reason === undefined ? {} : { reason }),
    ...(force ? { forced: true as const } : {}),
  };
  const before = await registry.last<StateEntry>(log);
  const { warnings } = await deciding.append(log, draft, before, (won) => {
    const text = `${printable(won.by)} was faster: ${model}@${version} became ${won.state} at ${won.at}`;
    return new MstoreError('lost-race', text, {
      hint: `Look at "mstore show ${model}@${version}", then run the command again if it is still right`,
      details: { model, version, by: won.by, at: won.at },
    });
  });
  return { ...result, ...(await writeTags(tags)), warnings };
}

/** What an environment needs must stay in use. */
async function checkUnused(
  registry: Registry,
  { model, environments }: ModelNames,
  version: string,
  window: number,
): Promise<void> {
  for (const environment of environments.keys()) {
    const history = (await registry.history(model, environment)).map(({ value }) => value);
    const isLive = history.at(-1)?.version === version;
    if (!isLive && !rollbackVersions(history, window).includes(version)) continue;
    const what = isLive ? 'is live in' : 'is one that can be gone back to in';
    throw new MstoreError('version-in-use', `${model}@${version} ${what} ${environment}`, {
      hint: isLive
        ? 'Deploy another version there first, or insist with --force --reason TEXT'
        : 'Insist with --force --reason TEXT if it must not be gone back to',
      details: { model, version, environment },
    });
  }
}
