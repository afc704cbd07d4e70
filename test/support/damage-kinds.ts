import * as fs from 'node:fs';
import * as path from 'node:path';
import { sha256 } from '../../src/base/digest.ts';
import { hostToken } from '../../src/base/host.ts';
import {
  backupName,
  digestOf,
  newFiles,
  originName,
  type Seed,
  type State,
  seedFiles,
  storeName,
} from './damage-seed.ts';
import type { CommandName, DamageName, KindName } from './damage-table.ts';

/** A kind of object that is damaged. */
export interface Kind {
  /** Brings the state to where the object matters to the command. */
  readonly prepare?: (state: State, command: CommandName) => void;
  /** The object that is damaged, from the top. */
  readonly target: (state: State) => string;
  /** The object that it is swapped with. */
  readonly other?: (state: State) => string;
  /** What it is replaced by, as an older one: the bytes of the other by default. */
  readonly older?: (state: State) => Buffer;
  /** The byte in which a bit is turned: the middle one by default. */
  readonly flipAt?: (bytes: Buffer) => number;
  /** One of these must be in the text of an error. */
  readonly names: (state: State) => readonly string[];
  /** Whether it can be had again, so that nothing but time depends on it. */
  readonly isCache?: boolean;
  /** Which version a checkout asks for; by default what the pointers name. */
  readonly checkout?: string;
}

/** The one file of the second version below a folder whose name fits, and that of the first. */
function pair(below: string, fits: (state: State, name: string) => boolean) {
  const target = (state: State): string => {
    const [found] = newFiles(state.seed, below).filter((name) => fits(state, name));
    if (found === undefined) throw new Error(`The seed has no such file in ${below}`);
    return found;
  };
  const other = (state: State): string => {
    const older = seedFiles(state.seed, below).filter((name) => state.seed.older.has(name));
    const [found] = older.filter((name) => fits(state, name));
    if (found === undefined) throw new Error(`The seed has no older such file in ${below}`);
    return found;
  };
  return { target, other };
}

function objectKind(
  below: string,
  fits: (state: State, name: string) => boolean = () => true,
): Kind {
  const { target, other } = pair(below, fits);
  return { target, other, names: (state) => [target(state), other(state)].map(digestOf) };
}

const refs = 'refs/models/demo';

function sealedKind(store: string, folder: string, first: string, second: string): Kind {
  const at = (name: string) => path.posix.join(store, refs, folder, name);
  const files = { target: () => at(second), other: () => at(first) };
  return {
    ...files,
    flipAt: (bytes) => bytes.indexOf('"author"') + bytes.indexOf('"by"') + 12,
    names: () => [
      ...[first, second].map((name) => path.posix.join(refs, folder, name)),
      `${path.basename(second, '.json')} in `,
    ],
  };
}

/** Takes away what the local store has of data, as in a fresh clone. */
function emptyStore({ at }: State, ...also: string[]): void {
  for (const name of ['packs', 'index', 'recipes', 'tables', 'files', ...also]) {
    fs.rmSync(at(storeName, name), { recursive: true, force: true });
  }
}

function remoteKind(kind: Kind): Kind {
  return {
    ...kind,
    prepare(state, command) {
      if (command === 'fetch') emptyStore(state, 'remotes', 'known', 'refs');
    },
  };
}

function idOf({ at }: State, place: string): string {
  return JSON.parse(fs.readFileSync(at(place, 'mstore.json'), 'utf8')).id as string;
}

const knownOf = (place: string) => (state: State) =>
  `${storeName}/known/${sha256(idOf(state, place)).slice(0, 32)}`;

const statOf = (tracked: string) => () =>
  `work/.modelstore/cache/stat/${sha256(tracked).slice(0, 32)}.json`;

const keptFolder = (state: State) => `${storeName}/remotes/${idOf(state, originName)}/index`;

/** The chunk tables of the local store, the largest first. */
const tables = (seed: Seed): string[] =>
  seedFiles(seed, `${storeName}/tables`).sort(
    (a, b) => (seed.files.get(b)?.bytes.length ?? 0) - (seed.files.get(a)?.bytes.length ?? 0),
  );

/** Those of a push of versions keep nothing that the registry does not keep. */
const keepsPaths = ({ seed }: State, name: string): boolean =>
  seed.files.get(name)?.bytes.includes('"purpose"') === false;

const rootRecords = pair(`${originName}/roots`, keepsPaths);
const indexObjects = pair(`${originName}/index`, () => true);

const keptFile = (state: State, name: string) =>
  path.posix.join(keptFolder(state), path.relative(`${originName}/index`, name));

const [tempName, otherTemp] = ['0'.repeat(8), '0'.repeat(7).concat('1')].map(
  (number) => `${storeName}/tmp/${hostToken()}-999999999-12345678${number}.tmp`,
) as [string, string];

const [lockName, otherLock] = ['git-files.lock', 'config.lock'].map(
  (name) => `work/.modelstore/cache/${name}`,
) as [string, string];

const twoHoursAgo = new Date(Date.now() - 2 * 60 * 60 * 1000);

/** Leaves two files of a process that has ended. */
function leave(state: State, first: string, second: string, text: (name: string) => string): void {
  fs.mkdirSync(path.dirname(state.at(first)), { recursive: true });
  for (const name of [first, second]) {
    fs.writeFileSync(state.at(name), text(name));
    fs.utimesSync(state.at(name), twoHoursAgo, twoHoursAgo);
  }
}

const holdsModel = ({ seed }: State, name: string): boolean =>
  path.basename(name) === seed.models[0] || path.basename(name) === seed.models[1];

/** All kinds of objects of the matrix, in the order of its rows. */
export const kinds: Readonly<Record<KindName, Kind>> = {
  pack: objectKind(`${storeName}/packs`),
  'index object': { ...objectKind(`${storeName}/index`), isCache: true },
  recipe: objectKind(`${storeName}/recipes`, holdsModel),
  'version record': {
    ...sealedKind(storeName, 'versions', 'v1.0.0.json', 'v1.1.0.json'),
    checkout: 'demo@v1.1.0',
  },
  'history entry': {
    ...sealedKind(storeName, 'environments/production', '00000001.json', '00000002.json'),
    checkout: 'demo@production',
  },
  'stat cache': {
    // What was just written is not remembered.
    prepare: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 40),
    target: statOf('model.bin'),
    other: statOf('data'),
    names: () => [],
    isCache: true,
  },
  pointer: {
    target: () => 'work/model.bin.mstore',
    other: () => 'work/data.mstore',
    older: ({ seed }) => seed.older.get('work/model.bin.mstore') as Buffer,
    flipAt: (bytes) => bytes.indexOf('"sha256"') + 20,
    names: () => ['model.bin'],
  },
  'local header': {
    target: () => `${storeName}/mstore.json`,
    other: () => `${originName}/mstore.json`,
    flipAt: (bytes) => bytes.indexOf('"mstore"') + 2,
    names: () => ['mstore.json'],
  },
  'chunk table': {
    target: ({ seed }) => tables(seed)[0] as string,
    other: ({ seed }) => tables(seed)[1] as string,
    names: () => [],
    isCache: true,
  },
  'kept index object': {
    prepare(state, command) {
      const kept = keptFolder(state);
      fs.cpSync(state.at(originName, 'index'), state.at(kept), { recursive: true });
      if (command === 'push' || command === 'fetch') emptyStore(state);
    },
    target: (state) => keptFile(state, indexObjects.target(state)),
    other: (state) => keptFile(state, indexObjects.other(state)),
    names: () => [],
    isCache: true,
  },
  'known list': {
    target: knownOf(originName),
    other: knownOf(backupName),
    older: (state) => state.seed.older.get(knownOf(originName)(state)) as Buffer,
    names: () => [],
    isCache: true,
  },
  'temporary file': {
    prepare: (state) => leave(state, tempName, otherTemp, (name) => `half of ${name}`),
    target: () => tempName,
    other: () => otherTemp,
    names: () => [],
    isCache: true,
  },
  'lock file': {
    prepare: (state) =>
      leave(state, lockName, otherLock, (name) =>
        JSON.stringify({ host: hostToken(), pid: 999_999_999, nonce: path.basename(name) }),
      ),
    target: () => lockName,
    other: () => otherLock,
    flipAt: (bytes) => bytes.indexOf('"host"') + 10,
    names: () => ['git-files.lock'],
    isCache: true,
  },
  'remote header': remoteKind({
    target: () => `${originName}/mstore.json`,
    other: () => `${backupName}/mstore.json`,
    flipAt: (bytes) => bytes.indexOf('"mstore"') + 2,
    names: () => ['mstore.json'],
  }),
  'root record': remoteKind({
    ...rootRecords,
    names: (state) =>
      [rootRecords.target(state), rootRecords.other(state)].map((name) => path.basename(name)),
  }),
  'remote pack': remoteKind(objectKind(`${originName}/packs`)),
  'remote index object': remoteKind(objectKind(`${originName}/index`)),
  'remote recipe': remoteKind(objectKind(`${originName}/recipes`, holdsModel)),
  'remote version record': remoteKind({
    ...sealedKind(originName, 'versions', 'v1.0.0.json', 'v1.1.0.json'),
  }),
  'remote history entry': remoteKind({
    ...sealedKind(originName, 'environments/production', '00000001.json', '00000002.json'),
  }),
};

/** The bytes that must be at a place, or nothing. */
type Change = ReadonlyMap<string, Buffer | undefined>;

/** Damages an object. */
export function damageObject(state: State, kind: Kind, damage: DamageName): void {
  const target = kind.target(state);
  for (const [name, bytes] of changeOf(state, kind, damage, target)) {
    if (bytes === undefined) fs.rmSync(state.at(name));
    else overwrite(state.at(name), bytes);
  }
}

/** Replaces bytes in place: times of locks and temporary files stay. */
function overwrite(file: string, bytes: Buffer): void {
  const { atime, mtime } = fs.statSync(file);
  fs.writeFileSync(file, bytes);
  fs.utimesSync(file, atime, mtime);
}

function changeOf(state: State, kind: Kind, damage: DamageName, target: string): Change {
  const bytes = fs.readFileSync(state.at(target));
  const other = kind.other?.(state);
  const otherBytes = other === undefined ? undefined : fs.readFileSync(state.at(other));
  switch (damage) {
    case 'delete':
      return new Map([[target, undefined]]);
    case 'truncate':
      return new Map([[target, bytes.subarray(0, Math.floor(bytes.length / 2))]]);
    case 'extend':
      return new Map([[target, Buffer.concat([bytes, Buffer.from('\0garbage'.repeat(8))])]]);
    case 'flip':
      return new Map([[target, flipped(bytes, kind.flipAt?.(bytes) ?? bytes.length >> 1)]]);
    case 'swap':
      return new Map([
        [target, otherBytes as Buffer],
        [other as string, bytes],
      ]);
    case 'older':
      return new Map([[target, kind.older?.(state) ?? (otherBytes as Buffer)]]);
  }
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** The objects that a damage concerns, from the top. */
export function damagedFiles(state: State, kind: Kind, damage: DamageName): string[] {
  const target = kind.target(state);
  return damage === 'swap' && kind.other !== undefined ? [target, kind.other(state)] : [target];
}
