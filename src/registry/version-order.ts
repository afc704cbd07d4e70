import { compareUtf8 } from '../base/json.ts';

/** A version number as Semantic Versioning 2.0.0 orders it; missing numbers are zero. */
interface VersionNumber {
  readonly numbers: readonly [bigint, bigint, bigint];
  /** Identifiers of a pre-release; empty for a release. */
  readonly preRelease: readonly string[];
}

const versionPattern =
  /^v?(\d{1,32})(?:\.(\d{1,32}))?(?:\.(\d{1,32}))?(?:-([0-9a-z-]+(?:\.[0-9a-z-]+)*))?$/;

/**
 * Reads a version's name as a number: `v1.2.3`, `1.2.3-rc.1`, and also `v2` and `1.4`, as people write
 * them, and `2026.01.05`.
 * @returns undefined for a name of another form
 */
function parseVersionNumber(name: string): VersionNumber | undefined {
  const match = versionPattern.exec(name);
  if (match === null) return undefined;
  const [, major = '0', minor = '0', patch = '0', preRelease] = match;
  return {
    numbers: [BigInt(major), BigInt(minor), BigInt(patch)],
    preRelease: preRelease?.split('.') ?? [],
  };
}

/** A version with what its place among others depends on. */
export interface OrderedVersion {
  readonly version: string;
  /** When it was registered, as ISO 8601 in UTC. */
  readonly created: string;
}

/**
 * Compares two versions of a model, the older one first: by Semantic Versioning 2.0.0, section 11,
 * where both names are numbers; names that are none come before those that are, in the order in which they were
 * registered.
 */
export function compareVersions(a: OrderedVersion, b: OrderedVersion): number {
  const [x, y] = [parseVersionNumber(a.version), parseVersionNumber(b.version)];
  if (x !== undefined && y !== undefined) {
    return compareNumbers(x, y) || compareUtf8(a.version, b.version);
  }
  if (x !== undefined || y !== undefined) return x === undefined ? -1 : 1;
  return compareUtf8(a.created, b.created) || compareUtf8(a.version, b.version);
}

/**
 * Chooses the latest of some versions: the last in their order that is no pre-release, or the last one
 * where all are.
 */
export function latestOf<T extends OrderedVersion>(versions: readonly T[]): T | undefined {
  const sorted = [...versions].sort(compareVersions);
  return sorted.findLast(({ version }) => !isPreRelease(version)) ?? sorted.at(-1);
}

/**
 * Chooses the latest of some versions by their names alone, where these suffice.
 * @returns undefined where no name is the number of a release: when they were registered decides then
 */
export function latestRelease(names: readonly string[]): string | undefined {
  const releases = names.filter(
    (name) => parseVersionNumber(name) !== undefined && !isPreRelease(name),
  );
  return latestOf(releases.map((version) => ({ version, created: '' })))?.version;
}

function isPreRelease(version: string): boolean {
  return (parseVersionNumber(version)?.preRelease.length ?? 0) > 0;
}

function compareNumbers(a: VersionNumber, b: VersionNumber): number {
  for (let i = 0; i < 3; i++) {
    const [x, y] = [a.numbers[i] as bigint, b.numbers[i] as bigint];
    if (x !== y) return x < y ? -1 : 1;
  }
  const [p, q] = [a.preRelease, b.preRelease];
  if (p.length === 0 || q.length === 0) return q.length - p.length;
  for (let i = 0; i < Math.min(p.length, q.length); i++) {
    const order = compareIdentifiers(p[i] as string, q[i] as string);
    if (order !== 0) return order;
  }
  return p.length - q.length;
}

/** Identifiers of digits alone are numbers, and come before others. */
function compareIdentifiers(a: string, b: string): number {
  const [x, y] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (x && y) {
    const [m, n] = [BigInt(a), BigInt(b)];
    return m === n ? 0 : m < n ? -1 : 1;
  }
  if (x !== y) return x ? -1 : 1;
  return compareUtf8(a, b);
}
