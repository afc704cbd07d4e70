import type { Digest } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import type {
  EnvironmentAction,
  EnvironmentEntry,
  Evidence,
  GateDecision,
} from '../registry/entry.ts';
import type { FoundVersion } from '../registry/find.ts';
import { logPrefix, versionKey } from '../registry/keys.ts';
import { checkRegistryName } from '../registry/names.ts';
import { environmentLog, type NewEntry, type Registry } from '../registry/registry.ts';
import type { Sealed } from '../registry/sealed.ts';
import { liveStack, rollbackVersions } from '../registry/timeline.ts';
import { authorOf } from './author.ts';
import { type Appended, type ChangeOptions, DecidingRegistry } from './deciding-registry.ts';
import { type PassedGate, passGate } from './gate.ts';
import { GitTags, writeTags } from './git-tags.ts';
import { lifecycleOf, promotionOf } from './lifecycle.ts';
import { nameTaken } from './register.ts';
import { type EntrySigner, TrustPolicy } from './trust/policy.ts';
import type { KeyPlace } from './trust/signing-key.ts';
import { judgeStored } from './validate-policy.ts';
import { contentOf } from './version-content.ts';
import type { Workspace } from './workspace.ts';

/** Options of all that moves an environment. */
export interface MoveOptions extends ChangeOptions {
  /** Finds out all that can be found out, and changes nothing. */
  readonly dryRun?: boolean;
  /** The entry that must be the last one: whoever moves the environment before this does wins. */
  readonly expected?: Digest;
  /** What a monitor measured. */
  readonly evidence?: Evidence;
  /** The key that signs the entry; by default the one that the environment names, if it does. */
  readonly key?: { readonly place: KeyPlace; readonly cwd: string };
}

/** What a move of an environment did, or would do. */
export interface MoveResult {
  readonly model: string;
  readonly environment: string;
  readonly action: EnvironmentAction;
  readonly version: string;
  /** What was live before. */
  readonly before?: string;
  /** Whether this is the first entry of the environment. */
  readonly isNew: boolean;
  /** Whether the version was live already, so that nothing was written. */
  readonly unchanged: boolean;
  readonly dryRun: boolean;
  /** Number of the entry that tells of it; absent where none was written. */
  readonly number?: number;
  readonly remote?: string;
  readonly gate?: GateDecision;
  /** Names of the Git tags that were made, or would be; absent where none were asked for. */
  readonly gitTags?: readonly string[];
  /** What should be known, such as that the version is deprecated. */
  readonly warnings: readonly string[];
}

/**
 * Makes a version live in an environment.
 * @param version a version, an environment whose version is meant, or `latest`
 * @throws MstoreError `gate-refused`, `lost-race`, `version-retired`, `step-skipped`, `not-pushed`
 */
export async function deploy(
  workspace: Workspace,
  target: { readonly model: string; readonly version: string; readonly environment: string },
  options: MoveOptions = {},
): Promise<MoveResult> {
  const mover = await Mover.open(workspace, target.model, options);
  const found = await mover.find(target.version);
  return mover.move({ action: 'deploy', environment: target.environment, found });
}

/**
 * Makes the version that is live in one environment live in another one.
 * @param from where it is live, and `to` where it goes; where the workspace has a lifecycle, the step
 * that is to be done next is found by itself
 */
export async function promote(
  workspace: Workspace,
  target: {
    readonly model: string;
    readonly from?: string | undefined;
    readonly to?: string | undefined;
  },
  options: MoveOptions = {},
): Promise<MoveResult> {
  const mover = await Mover.open(workspace, target.model, options);
  const { from, to } = await promotionOf(workspace, mover.registry, target);
  const found = await mover.findLive(await mover.liveIn(from));
  return mover.move({ action: 'promote', environment: to, found, from });
}

/**
 * Goes back to the version that was live before, or to a given one. Doing it twice goes back two versions.
 * No gate is asked: what was live has passed it.
 * @throws MstoreError `no-earlier-version`
 */
export async function rollback(
  workspace: Workspace,
  target: {
    readonly model: string;
    readonly environment: string;
    readonly to?: string | undefined;
  },
  options: MoveOptions = {},
): Promise<MoveResult> {
  const { model, environment } = target;
  const mover = await Mover.open(workspace, model, options);
  await mover.liveIn(environment);
  const history = await mover.registry.history(model, environment);
  const entries = history.map(({ value }) => value);
  const version = target.to ?? rollbackVersions(entries, 1)[0];
  if (version === undefined) {
    throw new MstoreError(
      'no-earlier-version',
      `${environment} of ${model} has no version to go back to: ${entries.at(-1)?.version} is the first one there`,
      {
        hint: `Deploy another version: mstore deploy ${model}@VERSION --env ${environment}`,
        details: { model, environment },
      },
    );
  }
  if (target.to !== undefined && !entries.some((entry) => entry.version === version)) {
    const past = [...new Set(liveStack(entries).map((entry) => entry.version))].reverse();
    throw new MstoreError(
      'no-earlier-version',
      `${printable(version)} was never live in ${environment} of ${model}`,
      {
        hint: `Live there were: ${past.join(', ')}; to bring another one use "mstore deploy"`,
        details: { model, environment, version },
      },
    );
  }
  const found = await mover.find(version);
  return mover.move({ action: 'rollback', environment, found });
}

interface Move {
  readonly action: EnvironmentAction;
  readonly environment: string;
  readonly found: FoundVersion;
  readonly from?: string;
}

/** Moves environments of one model, in the registry where that is decided. */
class Mover {
  readonly registry: Registry;
  readonly #workspace: Workspace;
  readonly #model: string;
  readonly #options: MoveOptions;
  readonly #deciding: DecidingRegistry;

  private constructor(
    workspace: Workspace,
    model: string,
    options: MoveOptions,
    deciding: DecidingRegistry,
  ) {
    this.#workspace = workspace;
    this.#model = model;
    this.#options = options;
    this.#deciding = deciding;
    this.registry = deciding.registry;
  }

  static async open(workspace: Workspace, model: string, options: MoveOptions): Promise<Mover> {
    const deciding = await DecidingRegistry.open(workspace, model, options);
    return new Mover(workspace, model, options, deciding);
  }

  find(selector: string): Promise<FoundVersion> {
    return this.#deciding.find(this.#model, selector);
  }

  /**
   * Finds the version that is live in an environment, by what its rules of trust ask for.
   * @throws MstoreError `untrusted`
   */
  async findLive(entry: Sealed<EnvironmentEntry>): Promise<FoundVersion> {
    const found = await this.find(entry.value.version);
    await TrustPolicy.of(this.#workspace).requireLive(this.registry, entry, found.record);
    return found;
  }

  /**
   * Reads what is live in an environment.
   * @throws MstoreError `unknown-environment`
   */
  async liveIn(environment: string): Promise<Sealed<EnvironmentEntry>> {
    const names = await this.registry.namesOf(this.#model);
    const live = names.environments.has(environment)
      ? await this.registry.live(this.#model, environment)
      : undefined;
    if (live !== undefined) return live;
    const near = nearest(environment, [...names.environments.keys()]);
    throw new MstoreError(
      'unknown-environment',
      `Nothing of ${this.#model} was ever live in ${printable(environment)}`,
      {
        hint:
          near === undefined
            ? `Deploy a version first: mstore deploy ${this.#model}@VERSION --env ${printable(environment)}`
            : `Did you mean ${near}?`,
        details: { model: this.#model, environment },
      },
    );
  }

  async move({ action, environment, found, from }: Move): Promise<MoveResult> {
    const { reason, force = false, dryRun = false, expected, evidence } = this.#options;
    const { version } = found.record.value;
    const before = await this.#before(environment, version);
    if (expected !== undefined && before !== undefined && before.sha256 !== expected) {
      throw lostRace(before.value);
    }
    const trust = TrustPolicy.of(this.#workspace);
    await trust.requireVersion(this.registry, found.record, environment, this.#options);
    // What is live is confirmed by those who may, where nobody of them did.
    const unchanged =
      before?.value.version === version &&
      before.value.record === found.record.sha256 &&
      (await trust.trustsEntry(before));
    const result = {
      model: this.#model,
      environment,
      action,
      version,
      isNew: before === undefined,
      unchanged,
      dryRun,
      ...(before === undefined ? {} : { before: before.value.version }),
      ...(this.#options.remote === undefined ? {} : { remote: this.#options.remote.name }),
      warnings: this.#warnings(found),
    };
    if (!unchanged) await this.#checkSteps(action, environment, version, force);
    const isFree = unchanged || action === 'rollback';
    const gate = isFree ? {} : await this.#passGate(environment, found);
    result.warnings.push(...(gate.warnings ?? []));
    if (!isFree) result.warnings.push(...(await this.#judgeFiles(found)));
    const tags = this.#options.gitTag
      ? await GitTags.open(this.#workspace, this.#model)
      : undefined;
    await tags?.planAssign(environment, found.record.value, reason);
    if (unchanged) {
      await this.registry.settle();
      return { ...result, ...(await writeTags(tags, dryRun)) };
    }
    const { key = { place: {}, cwd: this.#workspace.root }, signal } = this.#options;
    const { place, cwd } = key;
    const sign = await trust.entrySigner(this.#model, environment, place, { cwd, signal });
    const entry: NewEntry<EnvironmentEntry> = {
      model: this.#model,
      environment,
      action,
      version,
      record: found.record.sha256,
      at: new Date(this.#workspace.surroundings.clock.now()).toISOString(),
      by: this.#options.by ?? (await authorOf(this.#workspace)),
      ...(reason === undefined ? {} : { reason }),
      ...(from === undefined ? {} : { from }),
      ...(force ? { forced: true as const } : {}),
      ...(gate.decision === undefined ? {} : { gate: gate.decision }),
      ...(evidence === undefined ? {} : { evidence }),
    };
    const judged = gate.decision === undefined ? result : { ...result, gate: gate.decision };
    if (dryRun) return { ...judged, ...(await writeTags(tags, dryRun)) };
    const { entry: written, warnings } = await this.#append(entry, before, sign);
    result.warnings.push(...warnings);
    return { ...judged, number: written.value.number, ...(await writeTags(tags)) };
  }

  /** Applies `validate.policy` to the files of a version. */
  #judgeFiles({ record }: FoundVersion): Promise<string[]> {
    const item = contentOf(this.#workspace.store, record.value, {});
    return judgeStored(this.#workspace, item, this.#options);
  }

  #passGate(environment: string, { record }: FoundVersion): Promise<PassedGate> {
    const target = { record: record.value, environment };
    return passGate(this.registry, this.#workspace.config, target, this.#options.force === true);
  }

  /** Reads what is live, and makes sure that the environment may be written. */
  async #before(
    environment: string,
    version: string,
  ): Promise<Sealed<EnvironmentEntry> | undefined> {
    const names = await this.registry.namesOf(this.#model);
    this.#checkEnvironment(environment, names.environments.has(environment));
    if (names.versions.has(environment)) throw nameTaken(this.#model, environment, 'a version');
    const needed = [
      versionKey(this.#model, version),
      logPrefix(environmentLog(this.#model, environment)),
    ];
    this.#deciding.requirePushed(
      needed,
      `${this.#model}@${version} and the history of ${environment}`,
    );
    return this.registry.live(this.#model, environment);
  }

  /** A workspace with a lifecycle has no environments that are made by a slip of the hand. */
  #checkEnvironment(environment: string, exists: boolean): void {
    checkRegistryName('environment', environment);
    const order = lifecycleOf(this.#workspace);
    if (exists || order.length === 0 || order.includes(environment)) return;
    const near = nearest(environment, order);
    throw new MstoreError(
      'unknown-environment',
      `${environment} is not in the lifecycle of this workspace: ${order.join(', ')}`,
      {
        hint:
          near === undefined
            ? 'Add it with "mstore config set registry.lifecycle NAME,NAME"'
            : `Did you mean ${near}?`,
        details: { model: this.#model, environment },
      },
    );
  }

  #warnings({ state, record }: FoundVersion): string[] {
    const name = `${this.#model}@${record.value.version}`;
    if (state === 'deprecated') return [`${name} is deprecated`];
    if (state !== 'archived') return [];
    if (this.#options.force) return [`${name} is archived`];
    throw new MstoreError('version-retired', `${name} is archived: it was taken out of use`, {
      hint: `Bring it back with "mstore restore ${name}", or use it all the same with --force --reason TEXT`,
      details: { model: this.#model, version: record.value.version },
    });
  }

  /** Where the workspace has a lifecycle, a version must have been live in the step before. */
  async #checkSteps(
    action: EnvironmentAction,
    environment: string,
    version: string,
    force: boolean,
  ): Promise<void> {
    const order = lifecycleOf(this.#workspace);
    const step = order[order.indexOf(environment) - 1];
    if (action === 'rollback' || force || step === undefined) return;
    const history = await this.registry.history(this.#model, step);
    if (history.some(({ value }) => value.version === version)) return;
    throw new MstoreError(
      'step-skipped',
      `${this.#model}@${version} was never live in ${step}, which comes before ${environment}`,
      {
        hint: `Deploy it there first, or skip the step with --force --reason TEXT`,
        details: { model: this.#model, version, environment, step },
      },
    );
  }

  #append(
    draft: NewEntry<EnvironmentEntry>,
    before: Sealed<EnvironmentEntry> | undefined,
    sign: EntrySigner | undefined,
  ): Promise<Appended<EnvironmentEntry>> {
    const model = this.#model;
    const { environment } = draft;
    const log = environmentLog(model, environment);
    return this.#deciding.append(log, draft, before, lostRace, sign);
  }
}

function lostRace({ model, environment, action, version, by, at }: EnvironmentEntry): MstoreError {
  const text = `${printable(by)} was faster: ${environment} of ${model} went to ${version} (${action}) at ${at}`;
  return new MstoreError('lost-race', text, {
    hint: `Look at "mstore history ${model} --env ${environment}", then run the command again if it is still right`,
    details: { model, environment, version, by, at },
  });
}
