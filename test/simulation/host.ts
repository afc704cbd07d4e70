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

const ofTests = testSurroundings();

/** The URL by which hosts know the simulated remote. */
export const remoteUrl = 'memory://origin';

/** Puts something in front of the remote of every program. */
export type Wrap = (remote: RemotePruner, program: Program) => RemotePruner;

/** A machine with a workspace. Its disk outlives its programs. */
export class Host {
  readonly name: string;
  readonly root: string;
  /** Identity of the repository that its workspace is a clone of. */
  readonly repository: string;
  /** Whether commands are given in two shells at once. */
  readonly hasTwoShells: boolean;
  /** Whether its store was lost, so that it may lack what its pointers name. */
  storeWasLost = false;
  readonly #stamped = new Set<string>();
  readonly #network: Network;
  readonly #wrap: Wrap;

  constructor(parts: {
    name: string;
    root: string;
    repository: string;
    hasTwoShells: boolean;
    network: Network;
    wrap: Wrap;
  }) {
    this.name = parts.name;
    this.root = parts.root;
    this.repository = parts.repository;
    this.hasTwoShells = parts.hasTwoShells;
    this.#network = parts.network;
    this.#wrap = parts.wrap;
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
    const remote = this.#wrap(simulatedRemote(network, program), program);
    return {
      ...ofTests,
      env: { MSTORE_CORE_AUTHOR: this.name },
      clock: hostClock(network, this.name),
      random: network.chance.sequence(`chance of ${program.name}`),
      sleep: sleeper(network, program),
      platform: { platform: 'linux' },
      openRemote: async (url, options) => (url === remoteUrl ? remote : openRemote(url, options)),
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
    const folder = path.join(this.root, '.modelstore/store/packs');
    for (const name of filesBelow(folder)) {
      if (!name.endsWith('.pack') || this.#stamped.has(name)) continue;
      this.#stamped.add(name);
      const seconds = hostClock(this.#network, this.name).now() / 1000;
      fs.utimesSync(path.join(folder, name), seconds, seconds);
    }
  }

  /** Loses the local store with the registry in it, as when a disk is replaced. */
  loseStore(): void {
    fs.rmSync(path.join(this.root, '.modelstore/store'), { recursive: true, force: true });
    this.#stamped.clear();
    this.storeWasLost = true;
  }
}
