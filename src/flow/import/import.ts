import * as fs from 'node:fs';
import * as path from 'node:path';
import { clearDeadTemps } from '../../base/dead-temps.ts';
import { fromSystemError, MstoreError } from '../../base/errors.ts';
import { ensureCacheFolder } from '../../base/files.ts';
import { IgnoreRules } from '../../base/ignore-rules.ts';
import { canonicalJson, isJsonObject, type JsonObject } from '../../base/json.ts';
import { printable } from '../../base/names.ts';
import { isFileEntry, treeSize } from '../../base/tree.ts';
import type { VersionRecord } from '../../registry/record.ts';
import { parseReference } from '../../registry/reference.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Sealed } from '../../registry/sealed.ts';
import { latestRelease } from '../../registry/version-order.ts';
import { checkListing, type Snapshot } from '../../source/snapshot.ts';
import { treePointer } from '../../worktree/pointer.ts';
import type { WorkOptions } from '../add.ts';
import { checkPlaces } from '../add-checks.ts';
import { foreignReference } from '../reference-errors.ts';
import { type Registration, registerContent, registryFor } from '../register.ts';
import { storing } from '../store-watch.ts';
import { type Tracked, trackedInWorkspace } from '../tracked.ts';
import { refusedElsewhere } from '../validate-policy.ts';
import type { Workspace } from '../workspace.ts';
import { digestsByName, filesOf } from './known-files.ts';
import {
  fromTop,
  isSource,
  type OpenedSource,
  openSource,
  type SourceReference,
} from './open-source.ts';
import { Staging } from './staging.ts';
import { lackingFiles, SnapshotStorer, type StoredSnapshot } from './storing-snapshot.ts';

/** What is imported, and as what. */
export interface ImportRequest extends Omit<Registration, 'path' | 'source'> {
  /** `hf:org/name[@rev]`, `s3://bucket/folder`, `gs://bucket/folder`, `https://…#sha256=…`, `dvc:PATH`, `local:DIR`. */
  readonly from: string;
  /** Opens what is imported, where `from` alone does not name it. */
  readonly open?: ((options: WorkOptions) => Promise<OpenedSource>) | undefined;
  /** Absolute folder that a relative directory starts from. */
  readonly cwd: string;
  /**
   * Where the files belong in the workspace; else where the latest version of the model has them, else `models/MODEL`.
   */
  readonly path?: string | undefined;
  /** Registers a file by itself as that file; else it is a directory that holds it. */
  readonly asFile?: boolean;
  /** Takes only files that a pattern fits, in the syntax of `.gitignore`. */
  readonly include?: readonly string[] | undefined;
  /** Leaves out files that a pattern fits. */
  readonly exclude?: readonly string[] | undefined;
}

/** What {@link importModel} did. */
export interface ImportResult {
  readonly record: Sealed<VersionRecord>;
  /** False when the same was imported before. */
  readonly created: boolean;
  /** The reference with its exact revision. */
  readonly from: string;
  readonly files: number;
  /** Bytes of all files. */
  readonly bytes: number;
  readonly bytesReceived: number;
  readonly bytesNew: number;
  /** What was found in the files by `validate.policy`. */
  readonly warnings: readonly string[];
}

/**
 * Takes a model from elsewhere into the local store and registers it, with where it comes from. Files whose digests the
 * store has are not read; the others are received, several at once, each verified before it counts. An import that was
 * interrupted goes on where it was. Writes no files into the workspace: that is `checkout`'s.
 * @throws MstoreError `version-exists`, `corrupt-source`, `source-changed`, `not-found`, `offline`,
 * `validation-refused`, and what the place throws
 */
export async function importModel(
  workspace: Workspace,
  request: ImportRequest,
  options: WorkOptions = {},
): Promise<ImportResult> {
  return withSource(workspace, request, options, (taken) => take(workspace, taken, options));
}

/** One thing that an import does, as a publication does its own. */
export interface ImportStep {
  readonly act: 'receive' | 'register';
  /** A path, or the version. */
  readonly what: string;
  /** Bytes of a file. */
  readonly bytes?: number;
}

/** What {@link importModel} would do. */
export interface ImportPlan {
  readonly from: string;
  readonly files: number;
  readonly bytes: number;
  /** In their order; none when the same was imported before. */
  readonly steps: readonly ImportStep[];
  readonly dryRun: true;
}

/**
 * Tells what an import would do, and does nothing: of an archive it has to receive all to see what is in it.
 * @throws MstoreError as {@link importModel}
 */
export async function planImport(
  workspace: Workspace,
  request: ImportRequest,
  options: WorkOptions = {},
): Promise<ImportPlan> {
  return withSource(workspace, request, options, async ({ snapshot, earlier, before }) => {
    const { files, reference } = snapshot;
    const known = digestsByName(workspace, snapshot, filesOf(workspace, earlier));
    const told = new Map(files.map(({ path: name, sha256 }) => [name, sha256 ?? known.get(name)]));
    const lacking = lackingFiles(workspace, files, (name) => told.get(name));
    const { model, version } = request;
    const register = { act: 'register', what: `${model}@${version}` } as const;
    return {
      from: reference,
      files: files.length,
      bytes: files.reduce((sum, { size }) => sum + size, 0),
      steps: [
        ...lacking.map(({ path: name, size }) => ({
          act: 'receive' as const,
          what: name,
          bytes: size,
        })),
        ...(before === undefined ? [register] : []),
      ],
      dryRun: true,
    };
  });
}

/** Opens what is imported, checks it as far as its list goes, and closes it behind the work. */
async function withSource<T>(
  workspace: Workspace,
  request: ImportRequest,
  options: WorkOptions,
  work: (taken: Taken) => Promise<T>,
): Promise<T> {
  const open = request.open ?? opener(workspace, sourceOf(request.from), request.cwd);
  const registry = await registryFor(workspace, request, options);
  const { model, version } = request;
  const before = await registry.record(model, version);
  const earlier = before?.value ?? (await latestRecord(registry, model));
  const place =
    before?.value.content.path ?? request.path ?? earlier?.content.path ?? `models/${model}`;
  if (before === undefined) checkPlaces(workspace, [place]);
  const { tempFolder, surroundings } = workspace;
  try {
    ensureCacheFolder(tempFolder);
  } catch (error) {
    throw fromSystemError(error, `making ${printable(tempFolder)}`);
  }
  clearDeadTemps(tempFolder, '', surroundings.clock);
  const opened = await open(options);
  try {
    const snapshot = chosenFiles(opened.snapshot, request);
    checkListing(snapshot);
    const source = { imported: originOf(snapshot, request) };
    if (before !== undefined && snapshot.isFixed) {
      checkSameOrigin(before.value, source.imported, snapshot);
    }
    const registration = { ...request, path: place, source };
    const { asFile = false } = request;
    return await work({ registry, registration, snapshot, earlier, before: before?.value, asFile });
  } catch (error) {
    throw refusedElsewhere(error, ' leave the file out with --exclude,');
  } finally {
    if (opened.scratch !== undefined) fs.rmSync(opened.scratch, { recursive: true, force: true });
  }
}

function opener(
  workspace: Workspace,
  reference: SourceReference,
  cwd: string,
): (options: WorkOptions) => Promise<OpenedSource> {
  const found = fromTop(workspace, reference, cwd);
  const from = found.kind === 'dvc' ? workspace.root : cwd;
  return (options) => openSource(workspace, found, { ...options, cwd: from });
}

/**
 * Reads a reference to a place that models are imported from.
 * @throws MstoreError `usage`
 */
export function sourceOf(text: string): SourceReference {
  const reference = parseReference(text);
  if (isSource(reference)) return reference;
  const { kind } = reference;
  if (kind === 'model' || kind === 'git' || kind === 'path' || kind === 'word') {
    throw new MstoreError('usage', `${printable(text)} is nothing that models are imported from`, {
      hint: 'Write hf:ORG/NAME, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, https://HOST/PATH#sha256=DIGEST, mlflow:models:/NAME/VERSION, dvc:PATH or local:DIR',
    });
  }
  throw foreignReference(reference, text);
}

async function latestRecord(registry: Registry, model: string): Promise<VersionRecord | undefined> {
  const [names] = await registry.names(model);
  const versions = [...(names?.versions ?? [])];
  const last = latestRelease(versions) ?? versions.at(-1);
  return last === undefined ? undefined : (await registry.record(model, last))?.value;
}

/** Tells which files of a model are asked for. */
export function chooser({
  include = [],
  exclude = [],
}: Pick<ImportRequest, 'include' | 'exclude'>): (file: { readonly path: string }) => boolean {
  const [taken, left] = [include, exclude].map((patterns) => {
    return new IgnoreRules((folder) => (folder === '' ? patterns.join('\n') : undefined));
  }) as [IgnoreRules, IgnoreRules];
  return ({ path: name }) =>
    (include.length === 0 || taken.ignoresWithParents(name, false)) &&
    !left.ignoresWithParents(name, false);
}

/** Leaves out what was not asked for. */
export function chosenFiles(
  snapshot: Snapshot,
  { include = [], exclude = [] }: Pick<ImportRequest, 'include' | 'exclude'>,
): Snapshot {
  if (include.length === 0 && exclude.length === 0) return snapshot;
  const isChosen = chooser({ include, exclude });
  const files = snapshot.files.filter(isChosen);
  if (files.length === 0 && snapshot.files.length > 0) {
    throw new MstoreError(
      'not-found',
      `The patterns leave nothing of the ${snapshot.files.length} files of ${printable(snapshot.reference)}`,
      { hint: 'Patterns are those of .gitignore: "*.safetensors", "onnx/"' },
    );
  }
  return { ...snapshot, files, others: (snapshot.others ?? []).filter(isChosen) };
}

/** What the record keeps of where a version comes from. */
function originOf(snapshot: Snapshot, { include = [], exclude = [] }: ImportRequest): JsonObject {
  return {
    from: snapshot.reference,
    ...snapshot.facts,
    ...(include.length === 0 ? {} : { include: [...include] }),
    ...(exclude.length === 0 ? {} : { exclude: [...exclude] }),
  };
}

/** What names the same bytes for ever needs no look at them: a version that came from elsewhere is another one. */
function checkSameOrigin(
  { model, version, source }: VersionRecord,
  origin: JsonObject,
  { reference }: Snapshot,
): void {
  const before = source?.['imported'];
  // Which branch led to the commit makes no difference.
  const plain = (one: JsonObject): string => canonicalJson({ ...one, revision: '' });
  if (isJsonObject(before) && plain(before) === plain(origin)) return;
  throw new MstoreError(
    'version-exists',
    `${model}@${version} is registered already, and not from ${printable(reference)}; a version never changes`,
    { hint: 'Import it as a new version', details: { model, version } },
  );
}

interface Taken {
  readonly registry: Registry;
  readonly registration: Registration & { readonly path: string };
  readonly snapshot: Snapshot;
  /** A version whose files may be the same. */
  readonly earlier: VersionRecord | undefined;
  /** The version itself, where it is registered already. */
  readonly before: VersionRecord | undefined;
  readonly asFile: boolean;
}

async function take(
  workspace: Workspace,
  { registry, registration, snapshot, earlier, asFile }: Taken,
  options: WorkOptions,
): Promise<ImportResult> {
  const { clock } = workspace.surroundings;
  const staging = Staging.open(workspace.tempFolder, snapshot, clock);
  let isDone = false;
  try {
    const known = digestsByName(workspace, snapshot, filesOf(workspace, earlier));
    const storer = new SnapshotStorer(workspace, snapshot, staging, options, known);
    const result = await storing(workspace, options, {
      work: async () => {
        const stored = await storer.run();
        await snapshot.confirm?.({ signal: options.signal });
        snapshot.stored?.(stored.entries);
        const tracked = trackedOf(registration.path, stored, asFile && snapshot.isFile);
        const registered = await registerContent(
          workspace,
          registry,
          registration,
          tracked,
          options,
        );
        return { stored, registered };
      },
      needed: () => trackedInWorkspace(workspace).tracked,
      merge: (first, again) => ({
        stored: again.stored,
        registered: { ...again.registered, created: first.registered.created },
      }),
    });
    isDone = true;
    const { stored, registered } = result;
    return {
      record: registered.record,
      created: registered.created,
      from: snapshot.reference,
      files: stored.entries.filter(isFileEntry).length,
      bytes: treeSize(stored.entries),
      bytesReceived: stored.bytesReceived,
      bytesNew: stored.bytesNew,
      warnings: registered.warnings,
    };
  } finally {
    staging.close(isDone);
  }
}

/** The files as a tracked path would have them. */
export function trackedOf(tracked: string, { entries }: StoredSnapshot, asFile = false): Tracked {
  const name = path.posix.basename(tracked);
  const [only] = entries;
  if (asFile && only !== undefined && isFileEntry(only)) {
    return { path: tracked, pointer: { kind: 'file', ...only, path: name, extra: {} } };
  }
  return { path: tracked, pointer: treePointer(name, entries, {}) };
}
