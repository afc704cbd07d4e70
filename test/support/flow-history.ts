import * as fs from 'node:fs';
import * as path from 'node:path';
import { isDigest } from '../../src/base/digest.ts';
import { isMstoreError } from '../../src/base/errors.ts';
import { hostToken } from '../../src/base/host.ts';
import { add } from '../../src/flow/add.ts';
import { type CheckoutOptions, checkout } from '../../src/flow/checkout.ts';
import { checkoutTo } from '../../src/flow/checkout-to.ts';
import { fetch } from '../../src/flow/fetch.ts';
import { push } from '../../src/flow/push.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import type { Tracked } from '../../src/flow/tracked.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { parsePointer } from '../../src/worktree/pointer.ts';
import { emptyRemote, makePlainProject, type Project, withRemotes } from './flow-project.ts';
import { checkRemote } from './flow-remote-check.ts';
import { scratchFolder } from './flow-scratch.ts';
import { filesBelow, stateOf } from './flow-state.ts';

/** The paths that histories track. Each may be a file, a directory or absent. */
const names = ['f', 'm'];

/** A state that was added somewhere: its pointers, and what a plain copy says its files are. */
export interface Snapshot {
  readonly pointers: ReadonlyMap<string, Buffer>;
  readonly state: Readonly<Record<string, string>>;
}

/** A workspace with what is known about its store. */
export interface Place {
  readonly project: Project;
  /** Numbers of the snapshots that must be readable here, offline. */
  readonly has: Set<number>;
}

/** Two workspaces, a remote, and plain copies of all that was ever added. */
export interface World {
  readonly places: readonly Place[];
  readonly remote: RemotePruner;
  readonly snapshots: Snapshot[];
  readonly pushed: Set<number>;
}

/** Makes a world in which nothing has happened. */
export async function makeWorld(): Promise<World> {
  const remote = await emptyRemote();
  const change = withRemotes({ origin: remote });
  const places: Place[] = [];
  for (let n = 0; n < 2; n++)
    places.push({ project: await makePlainProject(change), has: new Set() });
  return { places, remote, snapshots: [], pushed: new Set() };
}

/** The part of a state that belongs to the tracked names of a snapshot. */
function partOf(state: Readonly<Record<string, string>>, chosen: Iterable<string>) {
  const tops = new Set(chosen);
  return Object.fromEntries(
    Object.entries(state).filter(([full]) => tops.has(full.split('/')[0] as string)),
  );
}

/** Adds all that exists, and keeps a description of it as it is now. */
export async function snapshot(world: World, place: Place): Promise<void> {
  const { project } = place;
  const present = names.filter((name) => fs.existsSync(project.at(name)));
  if (present.length === 0) return;
  const state = partOf(stateOf(project.root), present);
  await project.add(...present);
  if (!same(partOf(stateOf(project.root), present), state)) throw new Error('add changed files');
  const pointers = new Map(present.map((name) => [name, project.read(`${name}.mstore`)] as const));
  place.has.add(world.snapshots.length);
  world.snapshots.push({ pointers, state });
}

function targetsOf({ pointers }: Snapshot): Tracked[] {
  return [...pointers].map(([name, bytes]) => ({
    path: name,
    pointer: parsePointer(bytes, `${name}.mstore`),
  }));
}

function same(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  return JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
}

/** Runs `work`; it may fail for lack of bytes, but only where they need not be there. */
async function mayLack(mustHave: boolean, work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!mustHave && isMstoreError(error, 'objects-missing')) return false;
    throw error;
  }
}

/** Pushes a snapshot; it must work where the store has it or the remote does. */
export async function pushSnapshot(world: World, place: Place, number: number): Promise<void> {
  const { project, has } = place;
  const targets = targetsOf(world.snapshots[number] as Snapshot);
  const sent = await mayLack(has.has(number) || world.pushed.has(number), async () => {
    const workspace = await project.open();
    const remote = () => chooseRemote(workspace, 'memory://origin', project.root);
    await push(workspace, targets, await remote());
    const { bytesSent } = await push(await project.open(), targets, await remote());
    if (bytesSent !== 0) throw new Error(`Pushing again sent ${bytesSent} bytes`);
  });
  if (sent) world.pushed.add(number);
  await checkRemote(world.remote);
}

/** Fetches a snapshot; it must work where it was pushed, or is there already. */
export async function fetchSnapshot(world: World, place: Place, number: number): Promise<void> {
  const { project, has } = place;
  const targets = targetsOf(world.snapshots[number] as Snapshot);
  const got = await mayLack(has.has(number) || world.pushed.has(number), async () => {
    const workspace = await project.open();
    await fetch(workspace, targets, await chooseRemote(workspace, 'memory://origin', project.root));
  });
  if (got) has.add(number);
}

/** Writes a snapshot to a directory of its own and compares it with the copy. */
export async function checkoutSnapshotTo(
  world: World,
  { project, has }: Place,
  number: number,
): Promise<void> {
  const wanted = world.snapshots[number] as Snapshot;
  const to = path.join(scratchFolder(), 'out');
  const written = await mayLack(has.has(number), async () => {
    await checkoutTo(await project.open(), targetsOf(wanted), to);
  });
  if (!written && fs.existsSync(to)) throw new Error('A checkout that failed left its directory');
  if (!written) return;
  expectSame(stateOf(to), layoutOf(wanted), `snapshot ${number}`);
}

/** What a directory of its own holds: a sole tracked directory gives its content, all else its path. */
function layoutOf(wanted: Snapshot): Readonly<Record<string, string>> {
  const [sole, other] = targetsOf(wanted);
  if (sole?.pointer.kind !== 'tree' || other !== undefined) return wanted.state;
  const prefix = `${sole.path}/`;
  return Object.fromEntries(
    Object.entries(wanted.state)
      .filter(([full]) => full.startsWith(prefix))
      .map(([full, is]) => [full.slice(prefix.length), is]),
  );
}

function expectSame(
  actual: Readonly<Record<string, string>>,
  expected: Readonly<Record<string, string>>,
  what: string,
): void {
  if (same(actual, expected)) return;
  throw new Error(
    `${what} came back wrong:\n${JSON.stringify(actual, null, 1)}\ninstead of\n${JSON.stringify(expected, null, 1)}`,
  );
}

/**
 * Checks a snapshot out over what is there and compares: all of it has come back, and nothing that was
 * stored nowhere is lost unless it was forced.
 */
export async function checkoutSnapshot(
  world: World,
  { project, has }: Place,
  number: number,
  options: CheckoutOptions,
): Promise<void> {
  const wanted = world.snapshots[number] as Snapshot;
  const before = stateOf(project.root);
  const unsaved = await unsavedFiles(project, before);
  let kept: readonly string[] = [];
  try {
    const done = await mayLack(has.has(number), async () => {
      ({ kept } = await checkout(await project.open(), targetsOf(wanted), options));
    });
    if (!done) return expectSame(stateOf(project.root), before, 'The workspace');
  } catch (error) {
    if (options.force || !isMstoreError(error, 'would-overwrite')) throw error;
    if (unsaved.length === 0 && !Object.values(before).some((is) => is.startsWith('link')))
      throw error;
    return expectSame(stateOf(project.root), before, 'The workspace');
  }
  const after = stateOf(project.root);
  if (!options.force) {
    for (const full of unsaved)
      if (after[full] !== before[full]) throw new Error(`${full} was stored nowhere and is lost`);
  } else if (kept.length > 0) throw new Error('A forced checkout kept files');
  const rest = Object.entries(partOf(after, wanted.pointers.keys()));
  const found = Object.fromEntries(rest.filter(([full]) => !kept.includes(full)));
  const expected = Object.entries(wanted.state).filter(
    ([full, is]) => is !== 'directory' || !kept.some((one) => one.startsWith(`${full}/`)),
  );
  expectSame(found, Object.fromEntries(expected), `snapshot ${number}`);
}

/** Files whose bytes the store does not have. */
async function unsavedFiles(
  project: Project,
  state: Readonly<Record<string, string>>,
): Promise<string[]> {
  const { store } = await project.open();
  return Object.entries(state)
    .filter(([, is]) => {
      const digest = is.split(' ').at(-1);
      return isDigest(digest) && !store.has(digest);
    })
    .map(([full]) => full);
}

/** Breaks an add off in the middle; what is stored until then stays. */
export async function breakOff({ project }: Place, afterSteps: number): Promise<void> {
  const present = names.filter((name) => fs.existsSync(project.at(name)));
  if (present.length === 0) return;
  const abort = new AbortController();
  let steps = 0;
  const advance = (): void => {
    if (++steps >= afterSteps) abort.abort();
  };
  const progress = { start: () => {}, finish: () => {}, advance };
  try {
    await add(await project.open(), present, { signal: abort.signal, progress });
  } catch (error) {
    if (!isMstoreError(error, 'interrupted')) throw error;
  }
}

/** Leaves what a process that was killed leaves: temporary files, no stat cache, a lock, no index. */
export function crash({ project }: Place): void {
  const dead = `${hostToken()}-999999999`;
  for (const folder of ['store/tmp', 'tmp', 'cache']) {
    project.write(`.modelstore/${folder}/${dead}-0123456789abcdef.tmp`, 'half');
  }
  const lock = JSON.stringify({ host: hostToken(), pid: 999_999_999, nonce: 'dead' });
  project.write('.modelstore/cache/git-files.lock', lock);
  fs.rmSync(project.at('.modelstore/cache/stat'), { recursive: true, force: true });
  const index = filesBelow(project.at('.modelstore/store/index')).at(-1);
  if (index !== undefined) fs.rmSync(project.at(`.modelstore/store/index/${index}`));
}

/** Loses the local store: only what was pushed can come back. */
export function loseStore({ project, has }: Place): void {
  fs.rmSync(project.at('.modelstore/store'), { recursive: true, force: true });
  has.clear();
}

/** Reads everything that must be readable: here offline, and from the remote alone. */
export async function checkWorld(world: World): Promise<void> {
  for (const place of world.places) {
    for (const number of place.has) await checkoutSnapshotTo(world, place, number);
  }
  const fresh = {
    project: await makePlainProject(withRemotes({ origin: world.remote })),
    has: new Set<number>(),
  };
  for (const number of world.pushed) {
    await fetchSnapshot(world, fresh, number);
    await checkoutSnapshotTo(world, fresh, number);
  }
  await checkRemote(world.remote);
}
