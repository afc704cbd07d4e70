import { type Digest, sha256 } from '../../base/digest.ts';
import { bytesSource, type RemoteWriter } from '../../remote/remote.ts';
import type { TransferOptions } from '../../store/remote-store.ts';
import { formatRoot, rootKey, rootListName, rootsOf } from '../../store/roots.ts';
import { mayBeGivenUp, repositoryOf } from '../roots.ts';
import type { Workspace } from '../workspace.ts';

/**
 * The identity under which objects of Git LFS are kept on a remote. It is another one than that of the workspace, so that
 * no policy of a clean-up gives them up: those judge by the pointers of the history, and these have none.
 */
export function lfsRepositoryOf(workspace: Workspace): string {
  return sha256(`git-lfs ${repositoryOf(workspace)}`).slice(0, 32);
}

/** Says on a remote which objects of Git LFS are needed: one record each, since each counts by itself. */
export class LfsRoots {
  readonly #workspace: Workspace;
  readonly #remote: RemoteWriter;
  readonly #transfer: TransferOptions;
  /** When records were written, by the names of their lists; undefined until they are listed. */
  #known: Map<string, number> | undefined;

  constructor(workspace: Workspace, remote: RemoteWriter, transfer: TransferOptions) {
    this.#workspace = workspace;
    this.#remote = remote;
    this.#transfer = transfer;
  }

  /** Makes sure that an object is kept, durably. */
  async keep(oid: Digest, size: number): Promise<void> {
    const workspace = this.#workspace;
    const record = {
      repository: lfsRepositoryOf(workspace),
      created: new Date(workspace.surroundings.clock.now()).toISOString(),
      forVersions: false,
      items: [{ path: `lfs/${oid}`, kind: 'file' as const, sha256: oid, size }],
    };
    this.#known ??= await this.#list(record.repository);
    const name = rootListName(record);
    const written = this.#known.get(name);
    if (written !== undefined && !(await mayBeGivenUp(this.#remote, written, this.#transfer))) {
      await this.#remote.settle?.(this.#transfer);
      return;
    }
    await this.#remote.create(rootKey(record), bytesSource(formatRoot(record)), this.#transfer);
    // A later clean-up is found by whoever watches for them, and then all are listed again.
    this.#known.set(name, Number.POSITIVE_INFINITY);
  }

  /** Forgets what is known of the records: a clean-up has run. */
  forget(): void {
    this.#known = undefined;
  }

  async #list(repository: string): Promise<Map<string, number>> {
    const known = new Map<string, number>();
    for await (const { key, time = 0 } of this.#remote.list(rootsOf(repository), this.#transfer)) {
      const name = /-([0-9a-f]{16})\.json$/.exec(key)?.[1];
      if (name !== undefined) known.set(name, Math.max(known.get(name) ?? 0, time));
    }
    return known;
  }
}
