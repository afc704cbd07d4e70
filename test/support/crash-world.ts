import * as fs from 'node:fs';
import * as path from 'node:path';
import { bootToken, hostToken } from '../../src/base/host.ts';
import { exportRegistry } from '../../src/flow/registry-export.ts';
import { Registry } from '../../src/registry/registry.ts';
import { localRemote } from '../../src/remote/local.ts';
import { describeFolder } from './cli.ts';
import { runHereOk } from './cli-here.ts';
import { FolderWriter, readFolder, stampOf, type WantedFolder } from './crash-folders.ts';
import type { StoreReader } from './crash-stores.ts';
import { projectAt } from './flow-project.ts';
import { noise } from './flow-scratch.ts';
import { filesBelow, stateOf } from './flow-state.ts';
import { git } from './git.ts';
import type { Loss, PowerDisk } from './power-disk.ts';

/** Folders of a world in which mstore works. */
export type Place = 'work' | 'clone' | 'fresh';

/** The local store of `work`. */
export const localStore = 'work/.modelstore/store';

/** The directory remote of `work`. */
export const originRemote = 'remote';

/** Folders that hold the layout of a remote: local stores and remotes. */
const storeFolders = [
  localStore,
  'clone/.modelstore/store',
  'fresh/.modelstore/store',
  originRemote,
  'second',
];

/** What the token of the host is after a start of the machine. */
const otherHost = 'ffffffffffff';
const otherStart = 'another-start';

/** The receipt of `sync` into `out`. */
const syncReceipt = 'out/receipt.json';
const madeConfig = 'fresh/.modelstore/config.toml';

/** What a folder of a version holds, by path. */
type State = Readonly<Record<string, string>>;

/** Everything that a user can see of a world, without times and random numbers. */
export interface WorldView {
  /** Files of the places but those of stores, caches and Git: mode and digest by path. */
  readonly files: Readonly<Record<string, string>>;
  /** What each store holds that is whole and that is to stay. */
  readonly chunks: Readonly<Record<string, readonly string[]>>;
  readonly recipes: Readonly<Record<string, readonly string[]>>;
  readonly roots: Readonly<Record<string, readonly string[]>>;
  /** The registry of each store, as text. */
  readonly registries: Readonly<Record<string, string>>;
  /** How each tracked path compares with its pointer, by place. */
  readonly states: Readonly<Record<string, readonly string[]>>;
}

/** What stores may lack while a command has not come to its end. */
export interface StoreOptions {
  /** Index objects and recipes may be left that lead to nothing. */
  readonly cleansUp?: boolean | undefined;
  /** Recipes of the local store may lead to what is on the remote alone. */
  readonly evicts?: boolean | undefined;
  /** A store that is damaged, and what was whole in it before. */
  readonly damaged?: { readonly store: string; readonly was: WorldView } | undefined;
}

/** A world as it was at some time. */
export interface WorldImage {
  readonly files: WantedFolder;
  /** What each version holds. */
  readonly versions: ReadonlyMap<string, State>;
}

/**
 * A folder with workspaces and remotes in which commands run: `work`, a workspace with the versions v0 and v1 of
 * a model, registered and deployed; its remote; `clone`, another workspace with v0; `fresh`, a new Git
 * repository. It can be put back to how it was.
 */
export class World {
  /** Absolute path; always the same. */
  readonly folder: string;
  readonly #versions = new Map<string, State>();
  readonly #reader: StoreReader;
  readonly #writer: FolderWriter;

  /** @param lane folder for the world and for what belongs to it */
  constructor(lane: string, reader: StoreReader) {
    this.#reader = reader;
    this.folder = path.join(lane, 'world');
    this.#writer = new FolderWriter(this.folder);
  }

  /** What each version holds. */
  get versions(): ReadonlyMap<string, State> {
    return this.#versions;
  }

  at(relative: string): string {
    return path.join(this.folder, relative);
  }

  /** Runs the command line in this process; it must succeed. */
  async run(place: Place, ...args: string[]): Promise<void> {
    await runHereOk(this.at(place), args);
  }

  /** Lays the files of a version in the workspace; nothing is added. */
  lay(version: number): void {
    const write = (name: string, bytes: Buffer | string, mode = 0o644): void => {
      fs.mkdirSync(path.dirname(this.at(`work/${name}`)), { recursive: true });
      fs.writeFileSync(this.at(`work/${name}`), bytes);
      fs.chmodSync(this.at(`work/${name}`), mode);
    };
    const base = noise(900_000, 'base');
    noise(150_000, version).copy(base, 200_000 * version);
    write('model/weights.bin', base);
    write('model/config.json', `{"version": ${version}}\n`);
    write(`model/parts/${version}.txt`, `only in ${version}\n`);
    write('model/parts/all.txt', 'in all\n');
    write('model/run.sh', `echo ${version}\n`, 0o755);
    write('single.bin', noise(300_000, `single ${version}`));
  }

  /** Commits what the workspace holds and keeps in mind what it is. */
  commit(version: string): void {
    git(this.at('work'), 'add', '-A');
    git(this.at('work'), 'commit', '-q', '-m', version);
    git(this.at('work'), 'tag', version);
    this.#versions.set(version, stateOf(this.at('work')));
  }

  /** Makes the world anew. */
  async make(): Promise<void> {
    fs.rmSync(this.folder, { recursive: true, force: true });
    for (const place of ['work', 'fresh']) {
      fs.mkdirSync(this.at(place), { recursive: true });
      git(this.at(place), 'init', '-q', '--template=');
    }
    await this.run('work', 'init');
    await this.run('work', 'remote', 'add', 'origin', '../remote');
    this.lay(0);
    await this.run('work', 'add', 'model', 'single.bin');
    this.commit('v0');
    await this.run('work', 'register', 'ranker@v1.0.0', 'model', '--metric', 'accuracy=0.9');
    await this.run('work', 'push');
    await this.run('work', 'deploy', 'ranker@v1.0.0', '--env', 'production');
    fs.rmSync(this.at('work/model/parts/0.txt'));
    this.lay(1);
    await this.run('work', 'add', 'model', 'single.bin');
    this.commit('v1');
    await this.run('work', 'register', 'ranker@v1.1.0', 'model', '--metric', 'accuracy=0.95');
    await this.run('work', 'push');
    await this.run('work', 'deploy', 'ranker@v1.1.0', '--env', 'production');
    git(this.folder, 'clone', '-q', '--template=', 'work', 'clone');
    await this.run('clone', 'pull', 'v0');
  }

  /**
   * Keeps the world as it is.
   * @param folder for its files, which must not change any more
   */
  keep(folder: string): WorldImage {
    new FolderWriter(folder).write(readFolder(this.folder));
    return { files: readFolder(folder), versions: new Map(this.#versions) };
  }

  /** Puts the world back to how it was when it was kept. */
  reset({ files, versions }: WorldImage): void {
    this.#writer.write(files);
    this.#versions.clear();
    for (const [version, state] of versions) this.#versions.set(version, state);
  }

  /** What stat caches know files by: size, times and inode, by path. */
  stamps(): Map<string, string> {
    return new Map(filesBelow(this.folder).map((name) => [name, stampOf(this.at(name)) ?? '']));
  }

  /**
   * Makes the world what a power cut leaves of a disk. The machine starts anew, and so has other tokens.
   * @param stamps of the files before it: a file that keeps its size keeps them too, whatever it holds
   */
  afterPowerCut(
    { versions }: WorldImage,
    {
      disk,
      loss,
      stamps,
    }: {
      readonly disk: PowerDisk;
      readonly loss: Loss;
      readonly stamps: ReadonlyMap<string, string>;
    },
  ): void {
    const rename = (name: string): string => name.replace(hostToken(), otherHost);
    this.reset({ files: disk.left(loss, rename), versions });
    const owned = filesBelow(this.folder).filter((name) => /\.(?:lock|sweep)$/.test(name));
    for (const name of owned.filter((each) => !each.includes('.git/'))) {
      const text = fs.readFileSync(this.at(name), 'utf8');
      const other = text.replaceAll(hostToken(), otherHost).replaceAll(bootToken(), otherStart);
      fs.writeFileSync(this.at(name), other);
      fs.utimesSync(this.at(name), 0, 0);
    }
    const now = new Map<string, string>();
    for (const [name, stamp] of stamps) {
      const full = this.at(name);
      const size = fs.lstatSync(full, { throwIfNoEntry: false })?.size;
      if (size === Number(stamp.split(' ')[0])) now.set(stamp, stampOf(full) ?? '');
    }
    for (const place of ['work', 'clone']) {
      const caches = this.at(`${place}/.modelstore/cache/stat`);
      for (const cache of filesBelow(caches)) restamp(path.join(caches, cache), now);
    }
  }

  /** The files that belong to users: of workspaces and of what was checked out elsewhere. */
  files(): Record<string, string> {
    // Of the cache the models count: all else may be missing, or differs from run to run.
    const skipped =
      /^(?:\.git|\.modelstore\/(?:store|cache|tmp)|\.mstore-sync|uses|lists|pins|work|tmp)$/;
    const found: Record<string, string> = {};
    for (const place of ['work', 'clone', 'fresh', 'out', 'cache']) {
      const files = describeFolder(this.at(place), place, (relative) => skipped.test(relative));
      for (const [name, what] of Object.entries(files)) {
        if (what === 'folder' || isTemp(name)) continue;
        found[name] =
          name === madeConfig ? this.#madeConfig() : name === syncReceipt ? this.#receipt() : what;
      }
    }
    return found;
  }

  /** The configuration that `init` makes, without the name that it draws for the repository. */
  #madeConfig(): string {
    return fs.readFileSync(this.at(madeConfig), 'utf8').replace(/"[0-9a-f]{32}"/, 'DRAWN');
  }

  /**
   * Checks that what `sync` says is live is a whole version, with nothing beside it: at any moment.
   * @returns whether something is
   */
  checkLive(): boolean {
    const live = this.at('out/current');
    if (fs.lstatSync(live, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return false;
    const there = digestsOf(Object.entries(stateOf(fs.realpathSync(live))));
    const versions = [...this.#versions.values()].map((state) =>
      digestsOf(
        Object.entries(state).flatMap(([name, file]) =>
          name.startsWith('model/') ? [[name.slice('model/'.length), file] as const] : [],
        ),
      ),
    );
    if (versions.includes(there)) return true;
    throw new Error(`What is live is no version: ${fs.readlinkSync(live)} holds ${there}`);
  }

  /** What a receipt says, without its time and without where this world is. */
  #receipt(): string {
    const text = fs.readFileSync(this.at(syncReceipt), 'utf8');
    return text.replace(/"\/[^"]*\/world\//g, '"').replace(/"at": "[^"]*"/, '"at": "…"');
  }

  async view(): Promise<WorldView> {
    const chunks: Record<string, readonly string[]> = {};
    const recipes: Record<string, readonly string[]> = {};
    const roots: Record<string, readonly string[]> = {};
    const registries: Record<string, string> = {};
    for (const name of this.#stores()) {
      const contents = this.#reader.contents(this.at(name));
      chunks[name] = contents.chunks;
      recipes[name] = contents.recipes;
      roots[name] = contents.roots;
      registries[name] = await readRegistry(this.at(name));
    }
    const states: Record<string, string[]> = {};
    for (const place of ['work', 'clone', 'fresh']) {
      if (!fs.existsSync(this.at(`${place}/.modelstore/config.toml`))) continue;
      const { paths } = await projectAt(this.at(place)).status();
      states[place] = paths.map((each) => `${each.path} ${each.state}`);
    }
    return { files: this.files(), chunks, recipes, roots, registries, states };
  }

  #stores(): string[] {
    return storeFolders.filter((name) => fs.existsSync(this.at(name)));
  }

  /** Checks that every object of every store is whole, and names only what is there. */
  async checkStores({ cleansUp, evicts, damaged }: StoreOptions = {}): Promise<void> {
    for (const name of this.#stores()) {
      const folder = this.at(name);
      await readRegistry(folder);
      if (name === damaged?.store) {
        const [chunks = [], recipes = []] = [damaged.was.chunks[name], damaged.was.recipes[name]];
        this.#reader.checkNothingLost(folder, { chunks, recipes });
        continue;
      }
      const mayLack = cleansUp || (evicts && name === localStore) || false;
      await this.#reader.check(folder, { cleansUp: mayLack });
      if (name === originRemote) this.#reader.checkKept(folder, this.#registered());
    }
  }

  /** The files of registered versions, by their digests. */
  #registered(): Set<string> {
    const states = ['v0', 'v1'].map((version) => this.versions.get(version) ?? {});
    const files = states.flatMap((state) => Object.entries(state));
    const ofModel = files.filter(([name]) => name.startsWith('model/'));
    return new Set(ofModel.map(([, file]) => file.slice(file.lastIndexOf(' ') + 1)));
  }

  /**
   * Writes a version into a folder of its own, and returns what it holds.
   * @param options `fetches` what of it is not in the local store
   */
  async checkedOut(version: string, { fetches = false } = {}): Promise<State> {
    const to = `${this.folder}.out`;
    fs.rmSync(to, { recursive: true, force: true });
    const project = projectAt(this.at('work'));
    if (fetches) await project.fetch([version], 'origin');
    await project.checkoutTo(to, [version]);
    return stateOf(to);
  }

  /** Checks that what the pointers of the workspace name can be written. */
  async checkPointers(): Promise<void> {
    const to = `${this.folder}.out`;
    fs.rmSync(to, { recursive: true, force: true });
    await projectAt(this.at('work')).checkoutTo(to);
  }

  /** Temporary files and locks, in Git's folders none. */
  temps(): string[] {
    return filesBelow(this.folder).filter((name) => !name.includes('.git/') && isTemp(name));
  }
}

/** Files with their digests, without their modes, as text. */
function digestsOf(files: ReadonlyArray<readonly [string, string]>): string {
  const lines = files.map(([name, file]) => `${name} ${file.slice(file.lastIndexOf(' ') + 1)}`);
  return lines.sort().join('\n');
}

/** Tells whether a path is that of a file under construction or of a lock. */
function isTemp(name: string): boolean {
  return /\.(?:tmp|lock|building)(?:$|\/)/.test(name) || path.dirname(name).endsWith('/tmp');
}

/** Gives the rows of a stat cache the stamps that files have now, and the token of another start. */
function restamp(file: string, stamps: ReadonlyMap<string, string>): void {
  const text = fs.readFileSync(file, 'utf8').replaceAll(bootToken(), otherStart);
  const stamp = /"\d+ \d+ \d+ \d+"/g;
  fs.writeFileSync(
    file,
    text.replace(stamp, (quoted) => `"${stamps.get(quoted.slice(1, -1)) ?? quoted.slice(1, -1)}"`),
  );
}

const momentary = new Set(['created', 'at', 'registered_at', 'deployed_at', 'previous']);

async function readRegistry(folder: string): Promise<string> {
  const exported = await exportRegistry(new Registry(localRemote(folder)));
  return JSON.stringify(exported, (key, value) => (momentary.has(key) ? undefined : value), 1);
}
