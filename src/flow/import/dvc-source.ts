import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { printable } from '../../base/names.ts';
import { nearest } from '../../base/nearest.ts';
import { isFileEntry } from '../../base/tree.ts';
import { type DvcObject, listSuffix } from '../../dvc/object-key.ts';
import type { DvcOutput } from '../../dvc/outputs.ts';
import { DvcObjects, type DvcPlace, type FoundFile } from '../../source/dvc-objects.ts';
import { corruptSource, type Snapshot, type SourceFile } from '../../source/snapshot.ts';
import type { WorkOptions } from '../add.ts';
import type { Workspace } from '../workspace.ts';
import { DvcDigests } from './dvc-digests.ts';
import { openDvcRemote } from './dvc-remote.ts';
import { DvcRepository } from './dvc-repository.ts';

/** A path that DVC keeps, as a reference names it. */
export interface DvcPath {
  /** As it was given: an output, a path in one, or the `.dvc` file of one. */
  readonly path: string;
  readonly revision?: string | undefined;
  /** Absolute folder that the path starts from. */
  readonly cwd: string;
}

/**
 * Opens what DVC keeps at a path.
 * @throws MstoreError `not-found`, `unknown-ref`, `unsupported-source`, `corrupt-source`, and what its places throw
 */
export async function openDvcPath(
  workspace: Workspace,
  { path: given, revision, cwd }: DvcPath,
  options: WorkOptions,
): Promise<Snapshot> {
  const full = path.resolve(cwd, given);
  const repository = await DvcRepository.open(workspace, path.dirname(full), revision);
  const relative = path.join(repository.folder, path.basename(full)).split(path.sep).join('/');
  const { output, inside } = await findOutput(repository, relative);
  const { commit } = repository;
  const reference = commit === undefined ? `dvc:${given}` : `dvc:${given}#rev=${commit}`;
  const opened = { repository, output, inside, reference, revision };
  return openDvcOutput(workspace, opened, options);
}

interface ChosenOutput {
  readonly output: DvcOutput;
  /** Path below the output; empty for all of it. */
  readonly inside: string;
}

async function findOutput(repository: DvcRepository, wanted: string): Promise<ChosenOutput> {
  const { outputs, broken } = await repository.outputs();
  const where = repository.commit === undefined ? '' : ` in ${repository.commit.slice(0, 10)}`;
  const named = outputs.filter(({ file }) => file === wanted && wanted.endsWith('.dvc'));
  if (named.length > 1) {
    throw new MstoreError(
      'usage',
      `${printable(wanted)} is of ${named.length} outputs: ${named.map((one) => printable(one.path)).join(', ')}`,
      { hint: 'Name one of them', details: { path: wanted } },
    );
  }
  const found =
    named[0] ??
    outputs.find(({ path: one }) => one === wanted) ??
    outputs.find(({ path: one }) => wanted.startsWith(`${one}/`));
  if (found !== undefined) {
    const isInside = found.file !== wanted && found.path !== wanted;
    return { output: found, inside: isInside ? wanted.slice(found.path.length + 1) : '' };
  }
  // What is looked for may be in a file that cannot be read.
  if (broken[0] !== undefined) throw broken[0];
  const near = nearest(
    wanted,
    outputs.map((one) => one.path),
  );
  throw new MstoreError('not-found', `DVC keeps nothing at ${printable(wanted)}${where}`, {
    hint:
      near === undefined
        ? 'Name an output: a path with a .dvc file beside it, or one that dvc.lock lists'
        : `Did you mean ${printable(near)}?`,
    details: { path: wanted },
  });
}

/** An output of a repository, and how it is called. */
export interface OpenedOutput {
  readonly repository: DvcRepository;
  readonly output: DvcOutput;
  /** Path below the output; all of it where it is left out. */
  readonly inside?: string;
  readonly reference: string;
  /** The revision as it was asked for. */
  readonly revision?: string | undefined;
  /** What earlier imports found; read where it is left out. */
  readonly digests?: DvcDigests;
}

/** Opens an output, or a part of one. */
export async function openDvcOutput(
  workspace: Workspace,
  opened: OpenedOutput,
  { signal }: WorkOptions,
): Promise<Snapshot> {
  const { repository, output, inside = '', reference } = opened;
  const { object, problem = '' } = output;
  if (object === undefined) {
    throw new MstoreError(
      'unsupported-source',
      `${printable(output.path)} of ${printable(output.file)} cannot be taken: ${problem}`,
      {
        hint: 'Bring it to the working tree ("dvc pull"), then "mstore add" it',
        details: { path: output.path },
      },
    );
  }
  const objects = new DvcObjects(reference, await placesOf(workspace, repository, output));
  const listed = await filesOf(objects, { output, object, inside, reference }, signal);
  const top = path.join(repository.root, object.isList ? output.path : path.dirname(output.path));
  const { digests = DvcDigests.open(workspace) } = opened;
  const files = await findFiles(workspace, { objects, digests, listed, top }, signal);
  if (inside === '') checkTotals(reference, output, files);
  const local = new Map(files.map((file) => [file.path, file.local]));
  const named = new Map(listed.map((file) => [file.path, file.object]));
  return {
    reference,
    facts: await factsOf(opened, object),
    isFixed: repository.commit !== undefined,
    isFile: !object.isList || listed.some((one) => one.inside === inside),
    files: output.executable && !object.isList ? files.map(executable) : files,
    read: (file, start, options) =>
      objects.read(file, named.get(file.path) ?? object, start, options),
    localCopy: ({ path: name }) => local.get(name),
    stored(entries) {
      const stored = new Map(entries.filter(isFileEntry).map((one) => [one.path, one]));
      digests.keep(
        files.flatMap(({ path: name, md5 }) => {
          const known = stored.get(name);
          return md5 === undefined || known === undefined ? [] : [[md5, known] as const];
        }),
      );
    },
  };
}

function executable<T extends SourceFile>(file: T): T {
  return { ...file, executable: true };
}

/** Finds files in the store by what earlier imports found, and others where DVC has them. */
async function findFiles(
  { store }: Workspace,
  from: {
    readonly objects: DvcObjects;
    readonly digests: DvcDigests;
    readonly listed: readonly NamedObject[];
    readonly top: string;
  },
  signal: AbortSignal | undefined,
): Promise<FoundFile[]> {
  const { objects, digests, listed, top } = from;
  const known = new Map<NamedObject, FoundFile>();
  for (const one of listed) {
    const md5 = { hash: one.object.hash, digest: one.object.md5 };
    const file = digests.find(md5);
    if (file !== undefined && store.has(file.sha256)) {
      // Who needs the bytes outside of the store finds them there.
      const local = await objects.near(one.object);
      const near = local === undefined ? {} : { local };
      known.set(one, { path: one.path, md5, ...file, ...near });
    }
  }
  const lacking = listed.filter((one) => !known.has(one));
  const asked = lacking.map(({ inside, object }) => ({ path: inside, object }));
  const found = await objects.find(asked, top, { signal });
  for (const [i, one] of lacking.entries()) {
    known.set(one, { ...(found[i] as FoundFile), path: one.path });
  }
  return listed.map((one) => known.get(one) as FoundFile);
}

interface NamedObject {
  /** What the file is called here. */
  readonly path: string;
  /** Path below the output; of a file by itself its name. */
  readonly inside: string;
  readonly object: DvcObject;
}

/** The files of an output, or of what is at a path in it. */
async function filesOf(
  objects: DvcObjects,
  {
    output,
    object,
    inside,
    reference,
  }: { output: DvcOutput; object: DvcObject; inside: string; reference: string },
  signal: AbortSignal | undefined,
): Promise<NamedObject[]> {
  const name = path.posix.basename(output.path);
  if (!object.isList) {
    if (inside === '') return [{ path: name, inside: name, object }];
    throw nothingInside(output.path, inside, 'is a file');
  }
  const all = await objects.list(object, { signal });
  if (output.files !== undefined && output.files !== all.length) {
    const what = `${printable(output.file)} says ${output.files} files, and its list has ${all.length}`;
    throw corruptSource(reference, what);
  }
  const { hash } = object;
  const chosen = all.flatMap(({ path: one, md5 }): NamedObject[] => {
    const rest =
      inside === '' ? one : one === inside ? path.posix.basename(one) : below(one, inside);
    if (rest === undefined) return [];
    return [{ path: rest, inside: one, object: { hash, md5, isList: false } }];
  });
  if (chosen.length > 0 || inside === '') return chosen;
  throw nothingInside(output.path, inside, 'holds no such file or folder');
}

function below(name: string, folder: string): string | undefined {
  return name.startsWith(`${folder}/`) ? name.slice(folder.length + 1) : undefined;
}

function nothingInside(output: string, inside: string, what: string): MstoreError {
  return new MstoreError(
    'not-found',
    `There is no ${printable(inside)} in ${printable(output)}: it ${what}`,
    { hint: 'Name the output itself, or a path in it', details: { path: `${output}/${inside}` } },
  );
}

/** Holds what DVC says of the sizes against what was found. */
function checkTotals(reference: string, output: DvcOutput, found: readonly FoundFile[]): void {
  const bytes = found.reduce((sum, { size }) => sum + size, 0);
  // Early releases counted bytes of texts without the carriage returns.
  if (output.size === undefined || output.object?.hash !== 'md5' || output.size === bytes) return;
  const what = `${printable(output.file)} says ${output.size} bytes, and ${bytes} were found: a copy is damaged`;
  throw corruptSource(reference, what);
}

async function factsOf(
  { repository, output, inside = '', revision }: OpenedOutput,
  { hash, md5, isList }: DvcObject,
): Promise<JsonObject> {
  const { file, stage, origin } = output;
  const commit = await repository.commitOf(file);
  const { remoteUrl } = (await repository.git?.lineage()) ?? {};
  return {
    kind: 'dvc',
    path: inside === '' ? output.path : `${output.path}/${inside}`,
    ...(inside === '' ? {} : { output: output.path }),
    file,
    ...(stage === undefined ? {} : { stage }),
    hash,
    md5: isList ? `${md5}${listSuffix}` : md5,
    ...(commit === undefined ? {} : { commit }),
    ...(revision === undefined ? {} : { revision }),
    ...(remoteUrl === undefined ? {} : { repository: remoteUrl }),
    ...(origin === undefined ? {} : { origin: printable(origin) }),
  };
}

/** Where the objects of an output may be, in the order in which they are looked for. */
async function placesOf(
  workspace: Workspace,
  repository: DvcRepository,
  { remote: own, origin }: DvcOutput,
): Promise<Array<() => Promise<DvcPlace>>> {
  const config = await repository.config();
  const cache = config.cacheFolder ?? path.join(repository.root, '.dvc/cache');
  const name = own ?? config.defaultRemote;
  const elsewhere =
    origin === undefined ? '' : `; DVC imported it from ${printable(origin)}, run "dvc fetch"`;
  return [
    async () => ({
      name: `its cache (${cache}${name === undefined ? '; no remote is set' : ''}${elsewhere})`,
      folder: cache,
    }),
    ...(name === undefined
      ? []
      : [async () => openDvcRemote(workspace, config.remote(name.toLowerCase()))]),
  ];
}
