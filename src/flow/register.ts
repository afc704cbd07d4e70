import { MstoreError } from '../base/errors.ts';
import { canonicalJson, type JsonObject, valueText } from '../base/json.ts';
import { printable, shellWord } from '../base/names.ts';
import { programVersion } from '../base/version.ts';
import { checkRegistryName } from '../registry/names.ts';
import type {
  GitSource,
  VersionContent,
  VersionRecord,
  VersionSource,
} from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import { type Sealed, seal } from '../registry/sealed.ts';
import type { WorkOptions } from './add.ts';
import { authorOf } from './author.ts';
import { checkPresent } from './checkout.ts';
import { GitTags, writeTags } from './git-tags.ts';
import { localRegistry } from './registry.ts';
import { status } from './status.ts';
import { pointerPath, selectTracked, type Tracked, trackedInWorkspace } from './tracked.ts';
import { judgeStored } from './validate-policy.ts';
import type { Workspace } from './workspace.ts';

/** What is registered. */
export interface Registration {
  readonly model: string;
  readonly version: string;
  /** Tracked path from the top of the workspace; may be left out where one path alone is tracked. */
  readonly path?: string | undefined;
  readonly description?: string | undefined;
  readonly changelog?: readonly string[] | undefined;
  readonly status?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Finite numbers by name. */
  readonly metrics?: Readonly<Record<string, number>> | undefined;
  /** Kept as it is. */
  readonly metadata?: JsonObject | undefined;
  /** Where it comes from; {@link register} adds the state of the Git repository. */
  readonly source?: VersionSource | undefined;
  /** When it was registered, for versions of another registry: ISO 8601 in UTC. */
  readonly created?: string | undefined;
}

/** What {@link register} did. */
export interface RegisterResult {
  readonly record: Sealed<VersionRecord>;
  /** False when the same was registered before. */
  readonly created: boolean;
  /** Names of the Git tags that were made; absent where none were asked for. */
  readonly gitTags?: readonly string[];
  /** What was found in the files by `validate.policy`. */
  readonly warnings: readonly string[];
}

/** Options of {@link register}. */
export interface RegisterOptions extends WorkOptions {
  /** Makes an annotated Git tag of the version, in GTO's convention. */
  readonly gitTag?: boolean;
}

/**
 * Registers a version of a model in the local registry: an immutable record that names the content of a
 * tracked path by its digest. All of its bytes must be in the local store. `push` sends it to a remote.
 * @throws MstoreError `version-exists` when the version is another one already, `name-taken` when an environment
 * of the model has the name, `file-changed` when the files differ from the pointer
 */
export async function register(
  workspace: Workspace,
  registration: Registration,
  options: RegisterOptions = {},
): Promise<RegisterResult> {
  const registry = await registryFor(workspace, registration, options);
  const tracked = choosePath(workspace, registration.path);
  const git = await gitSource(workspace, tracked.path);
  const source = { ...(git === undefined ? {} : { git }), ...registration.source };
  return registerContent(workspace, registry, { ...registration, source }, tracked, {
    ...options,
    check: () => checkUnchanged(workspace, tracked, options),
  });
}

/**
 * Checks the names of a version that is to be registered, and opens the registry for it.
 * @throws MstoreError `usage`, `bad-name`, `name-taken`
 */
export async function registryFor(
  workspace: Workspace,
  registration: Registration,
  { signal }: WorkOptions,
): Promise<Registry> {
  const { model, version } = registration;
  checkRegistryName('model', model);
  checkRegistryName('version', version);
  checkMetadataNames(registration);
  const registry = await localRegistry(workspace, { signal });
  const [names] = await registry.names(model);
  if (names?.environments.has(version)) throw nameTaken(model, version, 'an environment');
  return registry;
}

/**
 * Registers content that is in the store, whether it is tracked or not.
 * @param options `check` is called before anything new is registered
 * @throws MstoreError as {@link register}
 */
export async function registerContent(
  workspace: Workspace,
  registry: Registry,
  registration: Registration,
  tracked: Tracked,
  options: RegisterOptions & { readonly check?: () => Promise<void> } = {},
): Promise<RegisterResult> {
  const { model, version } = registration;
  const before = await registry.record(model, version);
  const record = seal(await newRecord(workspace, registration, tracked));
  const known = before && sameOrConflict(before, record);
  const warnings: string[] = [];
  if (known === undefined) {
    await options.check?.();
    checkPresent(workspace.store, [tracked]);
    warnings.push(...(await judgeStored(workspace, tracked, options)));
  } else await registry.settle();
  const { content, description, source } = (known ?? record).value;
  const tags = options.gitTag ? await GitTags.open(workspace, model) : undefined;
  await tags?.planRegister(version, content, { commit: source?.git?.commit, description });
  const result =
    known === undefined
      ? await create(workspace, registry, record)
      : { record: known, created: false };
  return { ...result, ...(await writeTags(tags)), warnings };
}

async function create(
  workspace: Workspace,
  registry: Registry,
  record: Sealed<VersionRecord>,
): Promise<Pick<RegisterResult, 'record' | 'created'>> {
  const { model, version } = record.value;
  workspace.store.prepareWriting();
  if ((await registry.createRecord(record)) === 'created') return { record, created: true };
  const first = await registry.record(model, version);
  return { record: first === undefined ? record : sameOrConflict(first, record), created: false };
}

/** Builds the error of a name that a model uses for something else. */
export function nameTaken(model: string, name: string, what: string): MstoreError {
  return new MstoreError(
    'name-taken',
    `${name} is ${what} of ${model} already: ${model}@${name} must have one meaning`,
    { hint: 'Choose another name', details: { model, name } },
  );
}

/** Says of a tracked path what a version record holds of it. */
export function contentOf({ path, pointer }: Tracked): VersionContent {
  const content = { path, kind: pointer.kind, sha256: pointer.sha256, size: pointer.size } as const;
  return pointer.kind === 'file' && pointer.executable ? { ...content, executable: true } : content;
}

async function newRecord(
  workspace: Workspace,
  registration: Registration,
  { path, pointer }: Tracked,
): Promise<VersionRecord> {
  const { model, version, description, changelog, status: state, labels } = registration;
  const { metrics = {}, metadata, source, created } = registration;
  const content = contentOf({ path, pointer });
  return {
    model,
    version,
    content,
    created: created ?? new Date(workspace.surroundings.clock.now()).toISOString(),
    author: await authorOf(workspace),
    tool: `mstore ${programVersion()}`,
    ...(description === undefined ? {} : { description }),
    ...(changelog === undefined || changelog.length === 0 ? {} : { changelog }),
    ...(state === undefined ? {} : { status: state }),
    ...(labels === undefined || Object.keys(labels).length === 0 ? {} : { labels }),
    metrics,
    ...(metadata === undefined ? {} : { metadata }),
    ...(source === undefined || Object.keys(source).length === 0 ? {} : { source }),
  };
}

async function gitSource(
  { git, gitPrefix }: Workspace,
  tracked: string,
): Promise<GitSource | undefined> {
  const lineage = await git?.lineage([gitPrefix + pointerPath(tracked)]);
  if (lineage === undefined) return undefined;
  const { commit, branch, dirty, remoteUrl } = lineage;
  return {
    ...(commit === undefined ? {} : { commit }),
    ...(branch === undefined ? {} : { branch }),
    dirty,
    ...(remoteUrl === undefined ? {} : { remote: remoteUrl }),
  };
}

/** A metadata file that speaks of another version was taken by mistake. */
function checkMetadataNames({ model, version, metadata = {} }: Registration): void {
  const plain = (name: string): string => name.replace(/^v(?=\d)/, '');
  const saysModel = valueText(metadata['model_name'] ?? model);
  const saysVersion = valueText(metadata['version'] ?? version);
  if (saysModel === model && plain(saysVersion) === plain(version)) return;
  throw new MstoreError(
    'usage',
    `The metadata speak of ${printable(`${saysModel} ${saysVersion}`)}, not of ${model} ${version}`,
    { hint: 'Give the metadata file of this version, or correct model_name and version in it' },
  );
}

function choosePath(workspace: Workspace, path: string | undefined): Tracked {
  const set = trackedInWorkspace(workspace);
  const chosen = selectTracked(set, path === undefined ? [] : [path]);
  const [only, second] = chosen;
  if (only !== undefined && second === undefined) return only;
  const names = chosen.map((tracked) => tracked.path);
  throw new MstoreError(
    'usage',
    only === undefined
      ? 'Nothing is tracked that could be registered'
      : `A version is of one tracked path; these are ${names.length}: ${names.slice(0, 5).join(', ')}`,
    {
      hint:
        only === undefined
          ? 'Run "mstore add PATH" first, then register'
          : 'Name one of them behind MODEL@VERSION',
    },
  );
}

/** What is registered is what the pointer names; files that have changed since would be left out unseen. */
async function checkUnchanged(
  workspace: Workspace,
  { path }: Tracked,
  options: WorkOptions,
): Promise<void> {
  const { paths } = await status(workspace, [path], options);
  const changed = paths.find((one) => one.state === 'modified');
  if (changed === undefined) return;
  throw new MstoreError(
    'file-changed',
    `${printable(changed.path)} differs from its pointer: it was changed after it was added`,
    {
      hint: `Run "mstore add ${shellWord(path)}" to take the changes, or "mstore checkout ${shellWord(path)}" to undo them`,
      details: { path },
    },
  );
}

/** Compares what people say of a version; who registered it, when and with what does not count. */
function sameOrConflict(
  before: Sealed<VersionRecord>,
  { value }: Sealed<VersionRecord>,
): Sealed<VersionRecord> {
  const differing = comparedKeys.filter((key) => {
    const [a, b] = [before.value[key], value[key]];
    return canonicalJson((a ?? null) as JsonObject) !== canonicalJson((b ?? null) as JsonObject);
  });
  if (differing.length === 0) return before;
  const { model, version, created, author } = before.value;
  throw new MstoreError(
    'version-exists',
    `${model}@${version} was registered on ${created.slice(0, 10)} by ${printable(author)} with other ${differing.join(', ')}; a version never changes`,
    {
      hint: 'Register it under a new version',
      details: { model, version, differing },
    },
  );
}

const comparedKeys = [
  'content',
  'metrics',
  'description',
  'changelog',
  'status',
  'labels',
  'metadata',
] as const;
