import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { EnvironmentEntry, VersionState } from '../../registry/entry.ts';
import type { VersionRecord } from '../../registry/record.ts';
import { environmentLog, type Registry } from '../../registry/registry.ts';
import { corruptRegistry, type Sealed } from '../../registry/sealed.ts';
import type { RemoteCallOptions } from '../../remote/remote.ts';
import type { RegistryFailure } from '../fetch-registry.ts';
import { askInTurn } from '../pull-alone.ts';
import { remoteRegistry } from '../registry.ts';
import type { ChosenRemote } from '../remotes.ts';
import type { RemoteChoice } from '../several-remotes.ts';
import { TrustPolicy } from '../trust/policy.ts';
import type { Workspace } from '../workspace.ts';
import type { SeenEntry } from './state.ts';

/** What an environment says. */
export interface LiveAnswer {
  readonly entry: Sealed<EnvironmentEntry>;
  readonly record: Sealed<VersionRecord>;
  readonly state: VersionState;
  /** Name and place of the remote that said so. */
  readonly remote: string;
  readonly location: string;
  /** Remotes that could not be asked before. */
  readonly failures: readonly RegistryFailure[];
}

/** What {@link askEnvironment} is asked. */
export interface EnvironmentQuestion extends RemoteCallOptions {
  readonly model: string;
  readonly environment: string;
  /** The entry that was seen last. */
  readonly seen: SeenEntry | undefined;
}

/**
 * Asks the first remote that answers what is live in an environment, and checks that it may be by the rules of trust.
 * @param workspace holds these rules
 * @throws MstoreError `unknown-model`, `unknown-environment`, `untrusted`; `histories-differ` when what it says does not go on
 * from what was seen before; or why the first remote could not be asked
 */
export async function askEnvironment(
  workspace: Workspace,
  choices: readonly RemoteChoice[],
  question: EnvironmentQuestion,
): Promise<LiveAnswer> {
  const { found, failures } = await askInTurn(choices, (choice) =>
    askOne(workspace, choice, question),
  );
  return { ...found, failures };
}

/**
 * Looks, by one listing, whether an environment has another entry than the one that was seen last.
 * @throws MstoreError as {@link askEnvironment}
 */
export async function hasMoved(
  choices: readonly RemoteChoice[],
  { model, environment, seen, signal }: EnvironmentQuestion,
): Promise<boolean> {
  const { found } = await askInTurn(choices, (choice) =>
    remoteRegistry(choice, { signal }).lastNumber(environmentLog(model, environment)),
  );
  return found !== (seen?.number ?? 0);
}

async function askOne(
  workspace: Workspace,
  choice: ChosenRemote,
  question: EnvironmentQuestion,
): Promise<Omit<LiveAnswer, 'failures'>> {
  const { model, environment, seen, signal } = question;
  const registry = remoteRegistry(choice, { signal });
  const entry = await registry.live(model, environment);
  if (entry === undefined) throw await nothingLive(registry, question);
  if (seen !== undefined) await refuseOtherHistory(registry, question, seen, entry);
  const { version } = entry.value;
  const record = await registry.record(model, version);
  const where = `${registry.place.location}: ${model}@${version}`;
  if (record?.sha256 !== entry.value.record) {
    throw corruptRegistry(
      where,
      record === undefined
        ? `${environment} was moved to it, and there is no such version`
        : `${environment} was moved to a record with another digest than the one that is there`,
    );
  }
  await TrustPolicy.of(workspace).requireLive(registry, entry, record, {
    signal,
    remotes: async () => [choice],
  });
  const state = await registry.state(model, version);
  return { entry, record, state, remote: choice.name, location: choice.remote.location };
}

/** Tells a model that is not there from an environment in which nothing is live. */
async function nothingLive(
  registry: Registry,
  { model, environment }: EnvironmentQuestion,
): Promise<MstoreError> {
  const { environments } = await registry.namesOf(model);
  const known = [...environments.keys()].sort().join(', ');
  return new MstoreError(
    'unknown-environment',
    `Nothing was ever live in ${printable(environment)} of ${model} in ${registry.place.location}`,
    {
      hint:
        known === ''
          ? `Deploy a version: mstore deploy ${model}@VERSION --env ${printable(environment)}`
          : `Environments of ${model}: ${known}`,
      details: { model, name: environment },
    },
  );
}

/**
 * A remote that lags behind, or was put back to an earlier time, would lead back to a version that nobody went back to.
 */
async function refuseOtherHistory(
  registry: Registry,
  { model, environment }: EnvironmentQuestion,
  seen: SeenEntry,
  last: Sealed<EnvironmentEntry>,
): Promise<void> {
  const { number } = last.value;
  const log = environmentLog(model, environment);
  const same =
    number < seen.number
      ? undefined
      : number === seen.number
        ? last
        : await registry.entry<EnvironmentEntry>(log, seen.number);
  if (same?.sha256 === seen.sha256) return;
  const what =
    same === undefined
      ? `ends with entry ${number}, and entry ${seen.number} was seen here`
      : `has another entry ${seen.number} than the one that was seen here`;
  throw new MstoreError(
    'histories-differ',
    `The history of ${environment} of ${model} in ${registry.place.location} ${what}`,
    {
      hint: 'It lags behind, or is not the registry that was followed so far. To follow it from now on, use a new directory, or add --take-history',
      details: { model, name: environment, number, seen: seen.number },
    },
  );
}
