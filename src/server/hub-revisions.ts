import { mapConcurrently } from '../base/concurrency.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { findTrusted } from '../flow/trust/policy.ts';
import type { Workspace } from '../flow/workspace.ts';
import type { FoundVersion } from '../registry/find.ts';
import { latestName } from '../registry/names.ts';
import { Registry } from '../registry/registry.ts';

/** The branch that clients of the Hub ask for when they are told none. */
export const mainBranch = 'main';
/** Another name of it. */
const head = 'HEAD';

const commitDigits = 40;
const commitPattern = /^[0-9a-f]{40}$/;
/** Records, or other objects, read at once. */
export const readsAtOnce = 16;
/** Commits that are remembered, of all models together. */
const commitsMax = 100_000;

/** What is remembered of a model. */
interface ModelCommits {
  readonly versions: Map<string, string>;
  readonly commits: Map<string, string>;
}

/**
 * The commit of a version, which clients of the Hub know a state of a repository by: the first 40 digits of the digest of
 * its record. It is the same on every server, and whoever has it can hold it against what `mstore show` prints.
 */
export function commitOf({ record }: Pick<FoundVersion, 'record'>): string {
  return commitOfRecord(record.sha256);
}

/** The commit of a version whose record has a digest. */
function commitOfRecord(sha256: string): string {
  return sha256.slice(0, commitDigits);
}

/**
 * Finds versions by what the Hub calls revisions. The record of a version is stored by its name: to find one by its commit,
 * each record of the model is read once, and the commits of many models are remembered.
 */
export class HubRevisions {
  readonly #workspace: Workspace;
  readonly #models = new Map<string, ModelCommits>();
  readonly #learning = new Map<string, Promise<void>>();
  #remembered = 0;

  /** @param workspace whose rules of trust count */
  constructor(workspace: Workspace) {
    this.#workspace = workspace;
  }

  /**
   * Finds the version that a revision names: a commit, a version or an environment, `latest`, and `main`, which is the latest
   * where neither a version nor an environment is called so. What has the form of a commit is nothing else: no name takes the
   * place of what somebody pinned.
   * @throws MstoreError `unknown-model`, `unknown-version`
   */
  async find(registry: Registry, model: string, revision: string): Promise<FoundVersion> {
    if (commitPattern.test(revision)) return this.#findCommit(registry, model, revision);
    const name = revision.replace(/^refs\/(?:heads|tags)\//, '');
    const selector = await selectorOf(registry, model, name);
    const found = await findTrusted(this.#workspace, registry, model, selector);
    this.#remember(model, found.record.value.version, commitOf(found));
    return found;
  }

  /**
   * Tells the commits of versions; those whose records are damaged are left out.
   * @throws MstoreError of a place that cannot be read
   */
  async commits(
    registry: Registry,
    model: string,
    versions: Iterable<string>,
  ): Promise<ReadonlyMap<string, string>> {
    const wanted = [...versions];
    const known = this.#models.get(model)?.versions;
    const found = new Map<string, string>();
    const read = async (version: string): Promise<void> => {
      const commit = known?.get(version) ?? (await readCommit(registry, model, version));
      if (commit !== undefined) found.set(version, commit);
    };
    await mapConcurrently(wanted, readsAtOnce, read);
    for (const [version, commit] of found) this.#remember(model, version, commit);
    return found;
  }

  async #findCommit(registry: Registry, model: string, commit: string): Promise<FoundVersion> {
    const known = () => this.#models.get(model)?.commits.get(commit);
    if (known() === undefined) await this.#learn(registry, model);
    const version = known();
    if (version !== undefined) {
      const [record, state] = await Promise.all([
        registry.record(model, version),
        registry.state(model, version),
      ]);
      // A remote may have been made anew, under a server that ran on.
      const isSame = record !== undefined && commitOf({ record }) === commit;
      if (isSame && state !== 'deleted') return { record, state };
      if (!isSame) this.#models.delete(model);
    }
    throw new MstoreError('unknown-version', `${model} has no version with the commit ${commit}`, {
      hint: 'It may have been deleted; name a version or an environment, to have what there is now',
      details: { model, name: commit },
    });
  }

  /** Reads the records of a model that are not known yet, once for all who wait for it. */
  async #learn(registry: Registry, model: string): Promise<void> {
    const names = await registry.namesOf(model);
    // It goes on for the others when the first one who asked is gone.
    const lasting = new Registry(registry.place);
    const learning =
      this.#learning.get(model) ?? this.commits(lasting, model, names.versions).then(() => {});
    this.#learning.set(model, learning);
    try {
      await learning;
    } finally {
      this.#learning.delete(model);
    }
  }

  #remember(model: string, version: string, commit: string): void {
    const known = this.#models.get(model) ?? { versions: new Map(), commits: new Map() };
    if (known.versions.get(version) === commit) return;
    if (this.#remembered >= commitsMax) {
      this.#models.clear();
      this.#remembered = 0;
    }
    this.#models.set(model, known);
    known.versions.set(version, commit);
    known.commits.set(commit, version);
    this.#remembered++;
  }
}

/** Chooses the version or environment that the name of a branch or tag means. */
async function selectorOf(registry: Registry, model: string, name: string): Promise<string> {
  if (name !== mainBranch && name !== head) return name;
  const { versions, environments } = await registry.namesOf(model);
  return versions.has(mainBranch) || environments.has(mainBranch) ? mainBranch : latestName;
}

/** Reads the commit of a version; undefined where its record is damaged, as nobody can have it then. */
async function readCommit(
  registry: Registry,
  model: string,
  version: string,
): Promise<string | undefined> {
  try {
    const record = await registry.record(model, version);
    return record && commitOf({ record });
  } catch (error) {
    if (isMstoreError(error, 'corrupt-registry')) return undefined;
    throw error;
  }
}
