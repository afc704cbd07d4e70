import { isMstoreError, MstoreError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import type { LogEntry } from '../registry/entry.ts';
import { type FoundVersion, findVersion } from '../registry/find.ts';
import { entryKey, type LogName } from '../registry/keys.ts';
import { checkRegistryName } from '../registry/names.ts';
import type { NewEntry, Registry } from '../registry/registry.ts';
import type { Sealed } from '../registry/sealed.ts';
import type { RemoteCallOptions } from '../remote/remote.ts';
import { ActLog } from './audit/act-log.ts';
import { localRegistry, pairRegistries, refuseConflicts, requireNamesOnce } from './registry.ts';
import type { ChosenRemote } from './remotes.ts';
import { findTrusted } from './trust/policy.ts';
import type { Workspace } from './workspace.ts';

/** Options of all that appends to a log of a registry. */
export interface ChangeOptions extends RemoteCallOptions {
  /** Where it is decided; without it the local registry alone is changed. */
  readonly remote?: ChosenRemote | undefined;
  readonly reason?: string | undefined;
  /** Who acts, where that is not the author that the workspace knows. */
  readonly by?: string | undefined;
  /** Passes what the rules refuse; needs a reason, and is recorded. */
  readonly force?: boolean;
  /** Tells of the change by annotated Git tags too, in GTO's convention. */
  readonly gitTag?: boolean;
  readonly jobs?: number | undefined;
}

/** An entry that was appended. */
export interface Appended<E extends LogEntry> {
  readonly entry: Sealed<E>;
  /** What is to be told of the audit log of the remote. */
  readonly warnings: readonly string[];
}

/**
 * The registry in which a change to a model is decided: the remote's, which the local one is brought up to date
 * with before and after, or the local one where there is no remote.
 */
export class DecidingRegistry {
  /** Where entries are created first. */
  readonly registry: Registry;
  readonly #workspace: Workspace;
  readonly #options: ChangeOptions;
  readonly #here: Registry;
  /** Keys that the remote lacks. */
  readonly #unpushed: readonly string[];

  private constructor(
    workspace: Workspace,
    options: ChangeOptions,
    registries: { here: Registry; there?: Registry; unpushed?: readonly string[] },
  ) {
    this.#workspace = workspace;
    this.#options = options;
    this.#here = registries.here;
    this.registry = registries.there ?? registries.here;
    this.#unpushed = registries.unpushed ?? [];
  }

  /**
   * Opens the registry for a change to one model.
   * @throws MstoreError `usage` for force without a reason, `version-exists` and `histories-differ` where the
   * remote says something else than the local registry
   */
  static async open(
    workspace: Workspace,
    model: string,
    options: ChangeOptions,
  ): Promise<DecidingRegistry> {
    const { remote, signal, jobs } = options;
    if (options.force && (options.reason ?? '').trim() === '') {
      throw new MstoreError('usage', '--force needs a reason, which the history keeps', {
        hint: 'Write --force --reason "TEXT"',
      });
    }
    checkRegistryName('model', model);
    if (remote === undefined) {
      const here = await localRegistry(workspace, { signal });
      return new DecidingRegistry(workspace, options, { here });
    }
    const pair = await pairRegistries(workspace, remote, { signal, jobs, model });
    refuseConflicts(pair.conflicts);
    await pair.fetch();
    const { here, there, onlyHere: unpushed } = pair;
    return new DecidingRegistry(workspace, options, { here, there, unpushed });
  }

  /**
   * Finds a version where it is decided.
   * @throws MstoreError `not-pushed` for one that is only here; else as {@link findVersion}
   */
  async find(model: string, selector: string): Promise<FoundVersion> {
    try {
      return await findTrusted(this.#workspace, this.registry, model, selector);
    } catch (error) {
      const isUnknown = isMstoreError(error, 'unknown-model', 'unknown-version');
      if (this.registry === this.#here || !isUnknown) throw error;
      const here = await findVersion(this.#here, model, selector).catch(() => undefined);
      if (here === undefined) throw error;
      throw this.#notPushed(`${model}@${here.record.value.version}`);
    }
  }

  /**
   * Makes sure that the remote has all that is here below some keys.
   * @param what names that in the error
   * @throws MstoreError `not-pushed`
   */
  requirePushed(prefixes: readonly string[], what: string): void {
    const lacking = this.#unpushed.some((key) => prefixes.some((one) => key.startsWith(one)));
    if (lacking) throw this.#notPushed(what);
  }

  #notPushed(what: string): MstoreError {
    const name = this.#options.remote?.name ?? '';
    return new MstoreError('not-pushed', `${name} does not have all that is here of ${what}`, {
      hint: 'Run "mstore push" first',
      details: { remote: name },
    });
  }

  /**
   * Takes the next place in a log; whoever is faster wins.
   * @param lost makes the error of a race that was lost to an entry
   * @param sign makes the signature that the entry carries
   * @throws MstoreError `not-logged` where the configuration demands a line in the audit log
   */
  async append<E extends LogEntry>(
    log: LogName,
    draft: NewEntry<E>,
    before: Sealed<LogEntry> | undefined,
    lost: (won: E) => MstoreError,
    sign?: (entry: Sealed<E>) => Promise<JsonObject>,
  ): Promise<Appended<E>> {
    const { remote, signal } = this.#options;
    this.#workspace.store.prepareWriting();
    const acts = remote && new ActLog(this.#workspace, remote.remote);
    if (remote !== undefined) await requireNamesOnce(this.#workspace, remote, { signal });
    await acts?.prepare();
    const { outcome, entry } = await this.registry.append<E>(log, draft, before, sign);
    if (outcome === 'exists') throw lost(entry.value);
    if (acts === undefined) return { entry, warnings: [] };
    await this.#keep(log, entry);
    return { entry, warnings: await logEntry(acts, log, entry) };
  }

  /**
   * The local registry learns of it at once. Where that fails, or entries before it came to the remote since
   * both were compared, the next fetch brings it: a log here has no gap.
   */
  async #keep(log: LogName, entry: Sealed<LogEntry>): Promise<void> {
    try {
      const before = await this.#here.last(log);
      if ((before?.sha256 ?? null) !== entry.value.previous) return;
      await this.#here.createEntry(log, entry);
    } catch (error) {
      if (!isMstoreError(error)) throw error;
    }
  }
}

/**
 * Logs that an entry was appended on a remote.
 * @returns warnings
 */
async function logEntry(
  acts: ActLog,
  log: LogName,
  { sha256, value }: Sealed<LogEntry>,
): Promise<string[]> {
  const { model, version, number, by, reason } = value;
  const problems = await acts.log({
    act: 'action' in value ? value.action : 'state',
    model,
    version,
    by,
    ...('environment' in value ? { environment: value.environment } : { state: value.state }),
    ...(reason === undefined ? {} : { reason }),
    objects: [{ key: entryKey(log, number), sha256 }],
  });
  return problems.map(({ message }) => message);
}
