import * as path from 'node:path';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { removeFile, syncFolder } from '../../base/files.ts';
import { printable } from '../../base/names.ts';
import type { DvcOutput } from '../../dvc/outputs.ts';
import { checkListing } from '../../source/snapshot.ts';
import type { WorkOptions } from '../add.ts';
import { checkGit, checkPlaces } from '../add-checks.ts';
import { storing } from '../store-watch.ts';
import { trackedInWorkspace } from '../tracked.ts';
import { judgeStored } from '../validate-policy.ts';
import type { Workspace } from '../workspace.ts';
import { previousPointer, track } from '../write-pointer.ts';
import { DvcDigests } from './dvc-digests.ts';
import { DvcRepository } from './dvc-repository.ts';
import { openDvcOutput } from './dvc-source.ts';
import { trackedOf } from './import.ts';
import { Staging } from './staging.ts';
import { SnapshotStorer } from './storing-snapshot.ts';

/** What is taken over of a repository of DVC. */
export interface DvcImportRequest {
  /** Absolute: the repository, or a folder or an output in it. */
  readonly folder: string;
  /** A revision of Git; the working tree where it is left out. */
  readonly revision?: string | undefined;
  /** Finds out what would be taken, and takes nothing. */
  readonly dryRun?: boolean;
  /** Removes the `.dvc` files of what was taken. */
  readonly replace?: boolean;
}

/** An output of DVC, and what became of it. */
export interface ImportedOutput {
  /** From the top of the workspace; as DVC has it where it lies elsewhere. */
  readonly path: string;
  /** The file of DVC that names it, from the top of the workspace. */
  readonly file: string;
  readonly md5?: string;
  readonly size?: number;
  readonly files?: number;
  readonly outcome: 'taken' | 'unchanged' | 'left-out';
  /** Why it was left out. */
  readonly why?: string;
}

/** What {@link importDvc} did, or would do. */
export interface DvcImportResult {
  /** Absolute top of the repository of DVC. */
  readonly root: string;
  readonly commit?: string;
  readonly outputs: readonly ImportedOutput[];
  readonly bytesReceived: number;
  readonly bytesNew: number;
  /** Files of DVC that were removed, from the top of the workspace. */
  readonly removed: readonly string[];
  readonly warnings: readonly string[];
  readonly dryRun: boolean;
}

/**
 * Has mstore keep what DVC keeps: each output is stored as DVC's files name it, whatever the working tree holds, and gets a
 * pointer beside it. DVC and its files go on working. What is tracked already and the same is not read again, so that an
 * import that was broken off goes on.
 * @throws MstoreError `import-refused` when some outputs could not be taken: the others are
 */
export async function importDvc(
  workspace: Workspace,
  request: DvcImportRequest,
  options: WorkOptions = {},
): Promise<DvcImportResult> {
  const { folder, revision, dryRun = false, replace = false } = request;
  if (replace && revision !== undefined) {
    throw new MstoreError('usage', 'The files of an earlier revision cannot be replaced', {
      hint: 'Leave --rev out, or --replace',
    });
  }
  const repository = await DvcRepository.open(workspace, folder, revision);
  // Where it lies elsewhere, that is said.
  const top = workspace.relative(repository.root, workspace.root);
  const run = new DvcImport(workspace, repository, top, options);
  await run.plan(repository.folder.split(path.sep).join('/'));
  if (!dryRun) {
    await run.take();
    if (replace) run.removeFiles();
  }
  return run.result(dryRun);
}

/** Failures that are of one output alone. */
export const ofOneOutput = [
  'not-found',
  'corrupt-source',
  'source-changed',
  'unsupported-source',
  'validation-refused',
  'pointer-ignored',
  'unknown-remote',
] as const;

class DvcImport {
  readonly #workspace: Workspace;
  readonly #repository: DvcRepository;
  /** From the top of the workspace to that of the repository. */
  readonly #top: string;
  readonly #options: WorkOptions;
  readonly #outcomes = new Map<DvcOutput, Pick<ImportedOutput, 'outcome' | 'why'>>();
  /** By path. */
  readonly #wanted = new Map<string, DvcOutput>();
  readonly #problems: string[] = [];
  readonly #warnings: string[] = [];
  readonly #removed: string[] = [];
  #bytesReceived = 0;
  #bytesNew = 0;

  constructor(workspace: Workspace, repository: DvcRepository, top: string, options: WorkOptions) {
    this.#workspace = workspace;
    this.#repository = repository;
    this.#top = top;
    this.#options = options;
  }

  /**
   * Finds out what is to be taken.
   * @param below path from the top of the repository
   */
  async plan(below: string): Promise<void> {
    const { outputs, broken } = await this.#repository.outputs();
    this.#problems.push(...broken.map(({ message }) => message));
    const isBelow = (name: string): boolean =>
      below === '' || name === below || name.startsWith(`${below}/`);
    for (const output of outputs) {
      if (!isBelow(output.path) && !isBelow(output.file)) continue;
      const why = await this.#reasonAgainst(output);
      if (why === undefined) this.#wanted.set(output.path, output);
      this.#outcomes.set(output, why === undefined ? { outcome: 'taken' } : why);
    }
    if (this.#outcomes.size === 0 && broken.length === 0) {
      throw new MstoreError('not-found', `DVC keeps nothing at ${printable(below || '.')}`, {
        hint: 'Name the repository, a folder in it, or an output',
        details: { path: below },
      });
    }
    checkPlaces(
      this.#workspace,
      [...this.#wanted.keys()].map((name) => this.#pathOf(name)),
    );
  }

  async #reasonAgainst(
    output: DvcOutput,
  ): Promise<Pick<ImportedOutput, 'outcome' | 'why'> | undefined> {
    const leftOut = (why: string) => ({ outcome: 'left-out', why }) as const;
    if (!output.isCached) return leftOut('DVC leaves it to Git');
    if (output.object === undefined) {
      this.#problems.push(`${printable(output.path)}: ${output.problem}`);
      return leftOut(output.problem ?? '');
    }
    const twin = this.#wanted.get(output.path);
    if (twin !== undefined) return leftOut(`${printable(twin.file)} names it too`);
    const { git, gitPrefix } = this.#workspace;
    const name = this.#pathOf(output.path);
    if (realPath(this.#workspace, name) !== name) {
      this.#problems.push(`${printable(name)}: it lies behind a symbolic link`);
      return leftOut('it lies behind a symbolic link');
    }
    if ((await git?.trackedBelow(gitPrefix + name, 1))?.length) return leftOut('Git keeps it');
    return undefined;
  }

  /** Stores what is wanted, one output after the other, each with its pointer. */
  async take(): Promise<void> {
    const digests = DvcDigests.open(this.#workspace);
    for (const output of this.#wanted.values()) {
      try {
        await this.#takeOne(output, digests);
      } catch (error) {
        if (!isMstoreError(error, ...ofOneOutput)) throw error;
        this.#outcomes.set(output, { outcome: 'left-out', why: error.message });
        this.#problems.push(`${printable(output.path)}: ${error.message}`);
      }
    }
  }

  async #takeOne(output: DvcOutput, digests: DvcDigests): Promise<void> {
    const workspace = this.#workspace;
    const options = this.#options;
    const { signal } = options;
    const repository = this.#repository;
    const name = this.#pathOf(output.path);
    await checkGit(workspace, name);
    const reference = `dvc:${name}`;
    const snapshot = await openDvcOutput(
      workspace,
      { repository, output, reference, digests },
      options,
    );
    // An empty directory is nothing to take, and nothing wrong.
    if (snapshot.files.length > 0) checkListing(snapshot);
    const staging = Staging.open(workspace.tempFolder, snapshot, workspace.surroundings.clock);
    let isDone = false;
    try {
      const storer = new SnapshotStorer(workspace, snapshot, staging, options, new Map());
      const isNew = await storing(workspace, options, {
        work: async () => {
          const stored = await storer.run();
          snapshot.stored?.(stored.entries);
          this.#bytesReceived += stored.bytesReceived;
          this.#bytesNew += stored.bytesNew;
          const { pointer } = trackedOf(name, stored, snapshot.isFile);
          const { extra = {} } = previousPointer(workspace, name) ?? {};
          const tracked = { path: name, pointer: { ...pointer, extra } };
          this.#warnings.push(...(await judgeStored(workspace, tracked, { signal })));
          return track(workspace, tracked);
        },
        needed: () => trackedInWorkspace(workspace).tracked,
        merge: (first, again) => first || again,
      });
      this.#outcomes.set(output, { outcome: isNew ? 'taken' : 'unchanged' });
      isDone = true;
    } finally {
      staging.close(isDone);
    }
  }

  /** Removes the files of DVC of which every output was taken. */
  removeFiles(): void {
    const files = new Map<string, boolean>();
    for (const [{ file }, { outcome }] of this.#outcomes) {
      files.set(file, (files.get(file) ?? true) && outcome !== 'left-out');
    }
    for (const [file, isTaken] of files) {
      if (!isTaken || !file.endsWith('.dvc')) continue;
      const full = path.join(this.#repository.root, file);
      removeFile(full);
      syncFolder(path.dirname(full));
      this.#removed.push(this.#pathOf(file));
    }
  }

  /** @throws MstoreError `import-refused` */
  result(dryRun: boolean): DvcImportResult {
    const outputs = [...this.#outcomes].map(([output, outcome]): ImportedOutput => {
      const { object, problem, size, files } = output;
      return {
        path: problem === undefined ? this.#pathOf(output.path) : output.path,
        file: this.#pathOf(output.file),
        ...(object === undefined ? {} : { md5: object.md5 + (object.isList ? '.dir' : '') }),
        ...(size === undefined ? {} : { size }),
        ...(files === undefined ? {} : { files }),
        ...outcome,
      };
    });
    if (this.#problems.length > 0 && !dryRun) throw this.#refused(outputs);
    const { root, commit } = this.#repository;
    return {
      root,
      ...(commit === undefined ? {} : { commit }),
      outputs,
      bytesReceived: this.#bytesReceived,
      bytesNew: this.#bytesNew,
      removed: this.#removed,
      // Else they are thrown.
      warnings: [...this.#warnings, ...this.#problems],
      dryRun,
    };
  }

  #refused(outputs: readonly ImportedOutput[]): MstoreError {
    const taken = outputs.filter(({ outcome }) => outcome !== 'left-out').length;
    return importRefused(`${taken} of ${outputs.length} outputs of DVC are taken`, this.#problems);
  }

  /** A path from the top of the workspace. */
  #pathOf(name: string): string {
    return this.#top === '' ? name : `${this.#top}/${name}`;
  }
}

/** Where a path of the workspace leads; undefined for one that leaves it. Nothing is written through a link. */
function realPath(workspace: Workspace, name: string): string | undefined {
  try {
    return workspace.relative(name, workspace.root);
  } catch (error) {
    if (isMstoreError(error, 'outside-workspace')) return undefined;
    throw error;
  }
}

/** Builds the error of an import of which a part could not be taken. */
export function importRefused(done: string, problems: readonly string[]): MstoreError {
  const more = problems.length > 5 ? `\n… and ${problems.length - 5} more` : '';
  return new MstoreError(
    'import-refused',
    `${done}, and not all can be:\n${problems.slice(0, 5).join('\n')}${more}`,
    {
      hint: 'Mend what is named, and run the same command again: what is there is not read again',
      details: { problems },
    },
  );
}
