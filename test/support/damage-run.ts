import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Digest, sha256 } from '../../src/base/digest.ts';
import { isMstoreError, MstoreError } from '../../src/base/errors.ts';
import type { StatusResult } from '../../src/flow/status.ts';
import type { VerifyReport } from '../../src/flow/verify/verify.ts';
import { parseFooter } from '../../src/pack/format.ts';
import { Registry } from '../../src/registry/registry.ts';
import { localRemote } from '../../src/remote/local.ts';
import { BlobReader } from '../../src/store/blob-reader.ts';
import { Store } from '../../src/store/local-store.ts';
import { readHeader } from '../../src/store/remote-store.ts';
import { type HereResult, runHere } from './cli-here.ts';
import { damagedFiles, damageObject, type Kind, kinds } from './damage-kinds.ts';
import {
  copySeed,
  damageEnv,
  digestOf,
  filesIn,
  freshName,
  originName,
  type Seed,
  type State,
  seedFiles,
  storeName,
} from './damage-seed.ts';
import type { CommandName, DamageName, KindName } from './damage-table.ts';
import { checkRemote } from './flow-remote-check.ts';

/** Whether a kind lies on the remote. */
export function isRemote(kind: KindName): boolean {
  return kind.startsWith('remote ') || kind === 'root record';
}

/** Gives a command something to do in a workspace, and returns its arguments. */
function stage(state: State, name: KindName, kind: Kind, command: CommandName): string[] {
  const { work } = state;
  switch (command) {
    case 'add':
      fs.writeFileSync(path.join(work, 'new.txt'), 'new');
      return ['add', 'model.bin', 'data', 'new.txt'];
    case 'status':
      if (name !== 'stat cache') fs.rmSync(path.join(work, 'model.bin'));
      return ['status'];
    case 'push': {
      const toOrigin = isRemote(name) || name === 'known list' || name === 'kept index object';
      return toOrigin ? ['push'] : ['push', '--remote', `../${freshName}`];
    }
    case 'fetch':
      return ['fetch'];
    case 'checkout':
      if (name !== 'stat cache') fs.rmSync(path.join(work, 'model.bin'));
      fs.rmSync(path.join(work, 'data'), { recursive: true });
      return kind.checkout === undefined ? ['checkout'] : ['checkout', kind.checkout];
    case 'gc':
      // What nothing leads to is removed at once, so that a wrong root shows.
      return ['gc', ...(isRemote(name) ? ['--remote'] : []), '--grace', '0'];
    case 'verify':
      return ['verify', ...(isRemote(name) ? ['--remote'] : [])];
  }
}

/** One cell of the matrix. */
export interface Cell {
  readonly kind: KindName;
  readonly damage: DamageName;
  readonly command: CommandName;
}

/** What came of one cell. */
export interface Outcome {
  readonly result: HereResult;
  /** In the words of the table. */
  readonly verdict: string;
  readonly state: State;
  readonly argv: readonly string[];
  /** The objects that were damaged, from the top. */
  readonly damaged: readonly string[];
  /** Runs the same command once more. */
  again(): Promise<HereResult>;
  /** Tells whether nothing of the damage is left. */
  isWhole(): Promise<boolean>;
  /** Tells whether a file is as it was in the seed. */
  isAsBefore(name: string): boolean;
}

/** A copy of the seed that is damaged, and the command line that meets it. */
export interface Staged {
  readonly state: State;
  readonly argv: readonly string[];
  /** The objects that were damaged, from the top. */
  readonly damaged: readonly string[];
  /** Tells whether caches are no longer as they were damaged. */
  readonly isRenewed: () => boolean;
}

/** Makes a fresh copy of the seed, in which a command has something to do, and damages it. */
export function stageCell(seed: Seed, top: string, cell: Cell): Staged {
  const kind = kinds[cell.kind];
  const state = copySeed(seed, top);
  kind.prepare?.(state, cell.command);
  const argv = stage(state, cell.kind, kind, cell.command);
  const damaged = damagedFiles(state, kind, cell.damage);
  const contents = () => damaged.map((name) => contentOf(state, name));
  const good = contents();
  damageObject(state, kind, cell.damage);
  const bad = contents();
  // Of two that were swapped, the other is made anew when it is needed.
  const isRenewed = () => bad[0] !== good[0] && contents()[0] !== bad[0];
  return { state, argv, damaged, isRenewed };
}

/** Runs one cell, and checks what must hold whatever the command said. */
export async function runCell(seed: Seed, top: string, cell: Cell): Promise<Outcome> {
  const { isCache } = kinds[cell.kind];
  const { state, argv, damaged, isRenewed } = stageCell(seed, top, cell);
  const isWhole = async (): Promise<boolean> => {
    if (isCache) return isRenewed();
    return isRemote(cell.kind) ? remoteIsWhole(state) : storeIsWhole(state, readBack(state));
  };
  const before = stampsOf(state);
  const wasWhole = await isWholeBefore(cell, isWhole);
  const again = () => runTelling(state, argv);
  const result = await again();
  // What looks at a store may heal it.
  const isHealed = isCache ? isRenewed() : undefined;
  checkUnharmed(state, before, new Set(damaged));
  const readable = readBack(state);
  const isWholeNow =
    isHealed ??
    (isRemote(cell.kind) ? await remoteIsWhole(state) : await storeIsWhole(state, readable));
  if (result.exit === 0) await checkDone(state, cell, argv);
  const verdict = verdictOf(result, !wasWhole && isWholeNow);
  const isAsBefore = (name: string): boolean => contentOf(state, name) === seed.digests.get(name);
  return { result, verdict, state, argv, damaged, again, isWhole, isAsBefore };
}

/** Runs a command; what a verification finds is an error, as it is to whoever looks at the exit code. */
export async function runTelling({ work }: State, argv: readonly string[]): Promise<HereResult> {
  const result = await runHere(work, argv, damageEnv);
  const { code, findings = [] } = result.document as Partial<VerifyReport>;
  if (result.error !== undefined || findings.length === 0) return result;
  const told = findings.map(({ key = '', message, hint = '', harms }) =>
    [key, message, hint, ...harms].join('\n'),
  );
  if (code == null) return { ...result, told };
  const harmful = findings.filter(({ severity, healed }) => severity === 'damage' && !healed);
  const hint = harmful.map((finding) => finding.hint ?? '').join('\n');
  const error = new MstoreError(code, harmful[0]?.message ?? '', { hint });
  return { ...result, told, error };
}

const wholeBefore = new Map<string, boolean>();

/** Tells whether a damage leaves everything whole; that does not depend on the command. */
async function isWholeBefore(
  { kind, damage }: Cell,
  isWhole: () => Promise<boolean>,
): Promise<boolean> {
  const key = `${kind} ${damage}`;
  const known = wholeBefore.get(key) ?? (await isWhole());
  wholeBefore.set(key, known);
  return known;
}

/** Checks that a command which says that it did its work has done it. */
async function checkDone(state: State, cell: Cell, argv: readonly string[]): Promise<void> {
  const { seed } = state;
  const file = state.at('work/model.bin');
  switch (cell.command) {
    case 'add':
      for (const pointer of ['work/model.bin.mstore', 'work/data.mstore']) {
        if (!fs.readFileSync(state.at(pointer)).equals(seed.files.get(pointer)?.bytes as Buffer))
          throw new Error(`add wrote another ${pointer}`);
      }
      mustHave(state, seed.current);
      break;
    case 'fetch':
      if (cell.kind !== 'pointer') mustHave(state, seed.current);
      break;
    case 'push':
      if (argv.includes('--remote')) await checkRemote(localRemote(state.at(freshName)));
      break;
    case 'checkout': {
      const expected = expectedModel(state, cell);
      const found = fs.existsSync(file) ? sha256(fs.readFileSync(file)) : undefined;
      if (found !== expected) throw new Error(`checkout wrote ${found} instead of ${expected}`);
      break;
    }
  }
}

/** The model file that a checkout must write. */
function expectedModel({ seed }: State, { kind, damage }: Cell): Digest | undefined {
  const [older, newer] = seed.models;
  if (kind === 'pointer' && damage === 'delete') return undefined;
  // Both are right answers to what is there; what is gone cannot be missed without the other side.
  if (kind === 'pointer' && damage === 'older') return older;
  if (kind === 'history entry' && damage === 'delete') return older;
  return newer;
}

function mustHave(state: State, blobs: readonly Digest[]): void {
  const store = new Store(state.at(storeName));
  for (const blob of blobs) if (!store.has(blob)) throw new Error(`The store lacks ${blob}`);
}

function verdictOf({ exit, error, document, told }: HereResult, healed: boolean): string {
  if (error !== undefined) return error.code;
  const shown = 'branch' in document ? shownBy(document as unknown as StatusResult) : undefined;
  if (shown !== undefined) return `shows ${shown}`;
  if (exit !== 0) return `exit ${exit}`;
  return `${healed ? 'heals' : 'fine'}${told.length > 0 ? ', tells' : ''}`;
}

/** What a status says that it would not say without damage. */
function shownBy({ paths }: StatusResult): string | undefined {
  const [model, data] = ['model.bin', 'data'].map((name) => paths.find((one) => one.path === name));
  if (model === undefined || data === undefined) return 'nothing of it';
  for (const { error, state, missingBytes, pointer } of [model, data]) {
    if (error !== undefined) return error.code;
    if (missingBytes > 0) return 'bytes to pull';
    if (pointer === 'changed') return 'a changed pointer';
    if (state === 'modified') return 'modified';
  }
  return undefined;
}

function contentOf({ at }: State, name: string): string | undefined {
  const file = at(name);
  return fs.existsSync(file) ? sha256(fs.readFileSync(file)) : undefined;
}

/** Objects that never change once they are there; all else in a store can be had again. */
const objectPattern =
  /^(?:work\/\.modelstore\/store|origin|backup|fresh)\/(?:packs|index|recipes|refs|roots)\/|\/mstore\.json$/;

interface Stamp {
  readonly stamp: string;
  readonly digest: Digest;
}

function stampOf(file: string): string {
  const { ino, size, mtimeMs } = fs.statSync(file);
  return `${ino} ${size} ${mtimeMs}`;
}

/** Describes all objects, and how to tell cheaply that one is the same. */
function stampsOf(state: State): Map<string, Stamp> {
  const names = ['work/.modelstore/store', 'origin', 'backup', 'fresh'].flatMap((folder) =>
    filesIn(state, folder),
  );
  return new Map(
    names
      .filter((name) => objectPattern.test(name))
      .map((name) => {
        const digest = state.seed.digests.get(name) ?? sha256(fs.readFileSync(state.at(name)));
        return [name, { stamp: stampOf(state.at(name)), digest }] as const;
      }),
  );
}

/** Checks that good objects are as they were, and that new ones are what their names say. */
function checkUnharmed(
  state: State,
  before: ReadonlyMap<string, Stamp>,
  damaged: ReadonlySet<string>,
): void {
  for (const [name, { stamp, digest }] of before) {
    // The index of a pack that was damaged is of no use.
    const pack = name.replace('/index/', '/packs/').replace(/\.idx$/, '.pack');
    if (damaged.has(name) || damaged.has(pack)) continue;
    const file = state.at(name);
    if (!fs.existsSync(file)) throw new Error(`${name} is gone`);
    if (stampOf(file) !== stamp && contentOf(state, name) !== digest)
      throw new Error(`${name} was changed`);
  }
  for (const name of ['work/.modelstore/store', 'origin', 'backup', 'fresh'].flatMap((folder) =>
    filesIn(state, folder),
  )) {
    if (!objectPattern.test(name) || (before.has(name) && !damaged.has(name))) continue;
    if (name.endsWith('.idx') && !before.has(name))
      parseFooter(fs.readFileSync(state.at(name)), digestOf(name));
  }
}

/** Reads all versions: what can be read must be right. Returns the blobs that can. */
function readBack(state: State): Set<Digest> {
  const readable = new Set<Digest>();
  const store = storeOf(state);
  const { blobs } = state.seed;
  for (const [blob, right] of store === undefined ? [] : blobs) {
    const bytes = readBlob(store as Store, blob);
    if (bytes === undefined) continue;
    if (!bytes.equals(right)) throw new Error(`${blob} was read wrong`);
    readable.add(blob);
  }
  for (const name of ['model.bin', 'data/weights.bin', 'data/run.sh']) {
    const file = path.join(state.work, name);
    if (!fs.existsSync(file)) continue;
    const bytes = fs.readFileSync(file);
    if (![...blobs.values()].some((right) => right.equals(bytes)))
      throw new Error(`${name} has bytes of no version`);
  }
  return readable;
}

function storeOf({ at }: State): Store | undefined {
  try {
    return new Store(at(storeName));
  } catch (error) {
    if (isMstoreError(error)) return undefined;
    throw error;
  }
}

function readBlob(store: Store, blob: Digest): Buffer | undefined {
  const reader = new BlobReader(store);
  try {
    return reader.readWhole(blob, 10_000_000);
  } catch (error) {
    if (isMstoreError(error)) return undefined;
    throw error;
  } finally {
    reader.close();
  }
}

/** Tells whether the local store has the current version whole, all records and the history. */
async function storeIsWhole(state: State, readable: ReadonlySet<Digest>): Promise<boolean> {
  try {
    if (storeOf(state) === undefined) return false;
    if (state.seed.current.some((blob) => !readable.has(blob))) return false;
    const pointer = 'work/model.bin.mstore';
    if (contentOf(state, pointer) !== sha256(state.seed.files.get(pointer)?.bytes ?? ''))
      return false;
    return await registryIsWhole(state.at(storeName));
  } catch (error) {
    if (isMstoreError(error)) return false;
    throw error;
  }
}

async function registryIsWhole(folder: string): Promise<boolean> {
  const registry = new Registry(localRemote(folder));
  const versions = await registry.records('demo', ['v1.0.0', 'v1.1.0']);
  const history = await registry.history('demo', 'production');
  return versions.length === 2 && history.length === 2;
}

async function remoteIsWhole(state: State): Promise<boolean> {
  try {
    const remote = localRemote(state.at(originName));
    await readHeader(remote);
    const indexed = filesIn(state, `${originName}/packs`).every((name) =>
      fs.existsSync(state.at(name.replace('/packs/', '/index/').replace(/pack$/, 'idx'))),
    );
    await checkRemote(remote);
    const roots = seedFiles(state.seed, `${originName}/roots`);
    const needed = kept(roots.map((name) => state.seed.files.get(name)?.bytes ?? Buffer.alloc(0)));
    const isKept = kept(
      filesIn(state, `${originName}/roots`).map((name) => fs.readFileSync(state.at(name))),
    );
    const isAllKept = [...needed].every((digest) => isKept.has(digest));
    return indexed && isAllKept && (await registryIsWhole(state.at(originName)));
  } catch {
    return false;
  }
}

/** What root records keep, whichever of them does. */
function kept(records: readonly Buffer[]): Set<string> {
  const lists = records.map(
    (bytes) => (JSON.parse(bytes.toString()) as { paths: Array<{ sha256: string }> }).paths,
  );
  return new Set(lists.flat().map(({ sha256: digest }) => digest));
}
