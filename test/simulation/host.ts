import * as fs from 'node:fs';
import * as path from 'node:path';
import { initWorkspace } from '../../src/flow/init.ts';
import { type ChosenRemote, chooseRemote } from '../../src/flow/remotes.ts';
import type { Surroundings } from '../../src/flow/surroundings.ts';
import { openWorkspace, type Workspace } from '../../src/flow/workspace.ts';
import { openRemote } from '../../src/remote/open.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { testSurroundings } from '../support/flow-project.ts';
import { filesBelow } from '../support/flow-state.ts';
import { hostClock, type Network, type Program, simulatedRemote, sleeper } from './client.ts';
import type { SharedStore } from './shared-store.ts';

const ofTests = testSurroundings();

/** The URL by which hosts know the simulated remote. */
export const remoteUrl = 'memory://origin';

/** Puts something in front of a place, for every program. */
export type Wrap = (place: RemotePruner, program: Program) => RemotePruner;

/** What is put in front of the places of a simulation. */
export interface Wraps {
  /** In front of the remote. */
  readonly wrap?: Wrap | undefined;
  /** In front of a local store that several workspaces share, as clean-ups and those who watch for them see it. */
  readonly wrapStore?: Wrap | undefined;
}

/** What a host is made of. */
export interface HostParts {
  readonly name: string;
  /** The machine that it is on: its clock and its network. */
  readonly machine: string;
  readonly root: string;
  readonly repository: string;
  readonly hasTwoShells: boolean;
  readonly shared?: SharedStore | undefined;
  readonly network: Network;
  readonly wraps: Wraps;
}

/** A workspace on a machine. Its disk outlives its programs. */
export class Host {
  readonly name: string;
  /** The machine, which several may be on. */
  readonly machine: string;
  readonly root: string;
  /** Identity of the repository that its workspace is a clone of. */
  readonly repository: string;
  /** Whether commands are given in two shells at once. */
  readonly hasTwoShells: boolean;
  /** The store, where others use it too. */
  readonly shared: SharedStore | undefined;
  readonly #stamped: Set<string>;
  readonly #network: Network;
  readonly #wraps: Wraps;
  #storeWasLost = false;

  constructor({ name, machine, root, repository, hasTwoShells, ...parts }: HostParts) {
    this.name = name;
    this.machine = machine;
    this.root = root;
    this.repository = repository;
    this.hasTwoShells = hasTwoShells;
    this.shared = parts.shared;
    this.#stamped = parts.shared?.stamped ?? new Set();
    this.#network = parts.network;
    this.#wraps = parts.wraps;
  }

  /** Makes the workspace. */
  async init(program: Program): Promise<void> {
    const surroundings = this.surroundings(program);
    const random = { ...surroundings.random, hex: () => this.repository };
    await initWorkspace(this.root, { git: false }, { ...surroundings, random });
  }

  /** What a program on this host takes from its surroundings: a clock that may be wrong, and this remote. */
  surroundings(program: Program): Surroundings {
    const network = this.#network;
    const { wrap = (place) => place, wrapStore = (place) => place } = this.#wraps;
    const remote = wrap(simulatedRemote(network, program), program);
    const { shared } = this;
    let store: Promise<RemotePruner> | undefined;
    return {
      ...ofTests,
      env: {
        MSTORE_CORE_AUTHOR: this.name,
        ...(shared === undefined ? {} : { MSTORE_STORE_PATH: shared.folder }),
      },
      clock: hostClock(network, this.machine),
      random: network.chance.sequence(`chance of ${program.name}`),
      sleep: sleeper(network, program),
      platform: { platform: 'linux' },
      openRemote: async (url, options) => {
        if (url === remoteUrl) return remote;
        if (url !== shared?.folder) return openRemote(url, options);
        store ??= shared.place(program).then((place) => wrapStore(place, program));
        return store;
      },
    };
  }

  /** Opens the workspace as each command does. */
  open(program: Program): Promise<Workspace> {
    return openWorkspace(this.root, this.surroundings(program));
  }

  /** Opens the remote for a command. */
  choose(workspace: Workspace): Promise<ChosenRemote> {
    return chooseRemote(workspace, remoteUrl, this.root);
  }

  /**
   * Gives packs that are new the time of the simulation: the newest of two packs is read, and real time would
   * tell them apart on one day and not on another.
   */
  stampPacks(): void {
    const folder = path.join(this.#storeFolder, 'packs');
    for (const name of filesBelow(folder)) {
      if (!name.endsWith('.pack') || this.#stamped.has(name)) continue;
      this.#stamped.add(name);
      const seconds = hostClock(this.#network, this.machine).now() / 1000;
      fs.utimesSync(path.join(folder, name), seconds, seconds);
    }
  }

  /** Loses the local store with the registry in it, as when a disk is replaced. */
  loseStore(): void {
    fs.rmSync(this.#storeFolder, { recursive: true, force: true });
    this.#stamped.clear();
    this.#storeWasLost = true;
  }

  /** Whether what commands have put into the store was given up at a moment or later. */
  mayLackSince(at: number): boolean {
    return this.shared?.records.wereGivenUpSince(this.repository, at) ?? false;
  }

  /** Whether the store may lack what pointers name: it was lost, or cleaned up by others who gave that up. */
  mayLackData(): boolean {
    return this.#storeWasLost || this.mayLackSince(Number.NEGATIVE_INFINITY);
  }

  get #storeFolder(): string {
    return this.shared?.folder ?? path.join(this.root, '.modelstore/store');
  }
}
