import { MstoreError } from '../base/errors.ts';
import { canonicalJson, compareUtf8, isJsonObject, type JsonValue } from '../base/json.ts';
import type { VersionRecord } from '../registry/record.ts';
import { diffVersions, type PathDiff } from './diff.ts';
import type { Targets } from './targets.ts';
import type { Tracked } from './tracked.ts';
import { type ChosenVersion, chosenVersion } from './version-content.ts';
import type { Workspace } from './workspace.ts';

/** A metric of two versions that differs; the side that lacks it is left out. */
export interface MetricChange {
  readonly name: string;
  readonly before?: number;
  readonly after?: number;
}

/** Something else that two records say differently, named by its key, those of nested keys joined by dots. */
export interface FieldChange {
  readonly name: string;
  readonly before?: JsonValue;
  readonly after?: JsonValue;
}

/** How what two references name differs. */
export interface ReferenceDiff {
  readonly paths: readonly PathDiff[];
  /** What was compared, with the same name on both sides where a model was moved. */
  readonly before: readonly Tracked[];
  readonly after: readonly Tracked[];
  /** Where both are versions of the registry. */
  readonly versions?: VersionsDiff;
}

/** How the records of two versions differ. */
export interface VersionsDiff {
  readonly before: ChosenVersion;
  readonly after: ChosenVersion;
  readonly metrics: readonly MetricChange[];
  readonly fields: readonly FieldChange[];
}

/**
 * Compares what two references name. A version is of one path, so only that is compared with a commit; two
 * versions are compared whatever their paths are called.
 * @throws MstoreError `objects-missing` when the list of a large directory is not in the store
 */
export function diffReferences(
  workspace: Workspace,
  before: Targets,
  after: Targets,
): ReferenceDiff {
  requireList(workspace, before);
  requireList(workspace, after);
  const [a, b] = [before.version, after.version];
  if (a === undefined || b === undefined) {
    const [old, now] = [samePaths(before, after), samePaths(after, before)];
    return { paths: diffVersions(workspace, old, now), before: old, after: now };
  }
  const [was] = before.tracked;
  const [is] = after.tracked;
  const old = was === undefined || is === undefined ? before.tracked : [renamed(was, is)];
  return {
    paths: diffVersions(workspace, old, after.tracked),
    before: old,
    after: after.tracked,
    versions: {
      before: chosenVersion(a),
      after: chosenVersion(b),
      ...recordChanges(a.record.value, b.record.value),
    },
  };
}

/** Compares what two records say of their versions. */
export function recordChanges(
  before: VersionRecord,
  after: VersionRecord,
): Pick<VersionsDiff, 'metrics' | 'fields'> {
  return {
    metrics: diffMaps(before.metrics, after.metrics),
    fields: diffMaps(fieldsOf(before), fieldsOf(after)),
  };
}

/** The record of a version says how large a directory is; which files it has, only the store can tell. */
function requireList({ store }: Workspace, { tracked, version }: Targets): void {
  const item = tracked.find(
    ({ pointer }) =>
      pointer.kind === 'tree' && pointer.files === undefined && !store.has(pointer.sha256),
  );
  if (item === undefined || version === undefined) return;
  const { model, version: name } = version.record.value;
  throw new MstoreError(
    'objects-missing',
    `${model}@${name} is known here, and the list of its files is not in the local store`,
    { hint: `Run "mstore fetch ${model}@${name}" to get it`, details: { paths: [item.path] } },
  );
}

/** Of a commit that is compared with a version, what is at the path of the version. */
function samePaths({ tracked, version }: Targets, other: Targets): readonly Tracked[] {
  if (version !== undefined || other.version === undefined) return tracked;
  const paths = new Set(other.tracked.map(({ path }) => path));
  return tracked.filter(({ path }) => paths.has(path));
}

/** Gives content the name of other content, as a model may be moved between versions. */
function renamed({ pointer }: Tracked, to: Tracked): Tracked {
  const name = pointer.kind === to.pointer.kind ? to.pointer.path : pointer.path;
  return { path: to.path, pointer: { ...pointer, path: name } };
}

/** What people say of a version beside its metrics, by the name of each value. */
function fieldsOf({
  description,
  changelog,
  status,
  labels,
  metadata,
}: VersionRecord): Record<string, JsonValue> {
  const fields = { description, changelog, status, labels, metadata };
  const flat = new Map<string, JsonValue>();
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) flatten(key, value as JsonValue, flat);
  }
  return Object.fromEntries(flat);
}

function flatten(name: string, value: JsonValue, into: Map<string, JsonValue>): void {
  if (!isJsonObject(value)) into.set(name, value);
  else for (const [key, inner] of Object.entries(value)) flatten(`${name}.${key}`, inner, into);
}

function diffMaps<T extends JsonValue>(
  before: Readonly<Record<string, T>>,
  after: Readonly<Record<string, T>>,
): Array<{ readonly name: string; readonly before?: T; readonly after?: T }> {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort(compareUtf8);
  return names.flatMap((name) => {
    const old = Object.hasOwn(before, name) ? before[name] : undefined;
    const now = Object.hasOwn(after, name) ? after[name] : undefined;
    if (sameValue(old, now)) return [];
    return [
      {
        name,
        ...(old === undefined ? {} : { before: old }),
        ...(now === undefined ? {} : { after: now }),
      },
    ];
  });
}

function sameValue(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return canonicalJson([a]) === canonicalJson([b]);
}
