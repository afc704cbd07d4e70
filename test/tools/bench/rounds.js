/** Lets mstore, its floors and the peers take turns at each operation of a section. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Box } from './box.js';
import { bytesBelow, remove, warm } from './data.js';
import { measureFloor } from './floors.js';

/** Each operation of the start section takes little time, and needs more rounds for a steady median. */
const startRepeats = 4;

export class Rounds {
  /** What a peer could not do, by section and name. */
  failures = [];
  /** Peers whose round of a section took so long that one is enough. */
  slow = [];
  /** The service that tools send to, and what counts their requests; for sections that have one. */
  target;
  counter;
  /** Seconds of each peer in the round that is measured. */
  #spent = new Map();

  constructor({ place, measures, tools, runs, peerRuns, peerSeconds, log }) {
    Object.assign(this, { place, measures, tools, runs, peerRuns, peerSeconds, log });
  }

  /** All rounds of a section; the scratch data of each is removed at its end. */
  measure(section, operations, data) {
    for (let round = 0; round < this.runs; round++) {
      this.log(`${section}: round ${round + 1} of ${this.runs}`);
      this.measureRound(section, operations, data, round);
    }
  }

  /** One round of a section, counted from 0. */
  measureRound(section, operations, data, round) {
    this.#round(section, round, data, (boxes) => {
      this.measures.round = round;
      for (const operation of operations) this.#operation(section, operation, boxes);
    });
  }

  /** The start section opens its boxes once in a round and measures them several times. */
  measureStart(section, operations, data) {
    for (let round = 0; round < this.runs; round++) {
      this.log(`${section}: round ${round + 1} of ${this.runs}`);
      this.#round(section, round, data, (boxes) => {
        for (const [tool, box] of [...boxes])
          this.#attempt(section, 'prepare', tool, boxes, () => tool.add(box.begin('prepare'), 1));
        for (let i = 0; i < startRepeats; i++) {
          this.measures.round = round * startRepeats + i;
          for (const operation of operations) this.#operation(section, operation, boxes);
        }
      });
    }
  }

  /** Opens a box for every tool that takes part in a round. */
  #round(section, round, data, act) {
    const boxes = new Map();
    const taking = this.tools.filter((_, i) => i === 0 || round < this.peerRuns);
    try {
      for (const tool of taking) {
        if (this.#isOut(section, tool)) continue;
        const place = path.join(this.place, `${section}-${tool.name}`);
        remove(place);
        const { measures, target, counter } = this;
        const box = new Box({ place, section, data, who: tool.name, measures, target, counter });
        box.env = { ...scratchEnv(box), ...tool.env?.(box) };
        boxes.set(tool, box);
        this.#attempt(section, 'open', tool, boxes, () => tool.open(box));
      }
      this.#spent.clear();
      act(boxes);
      this.#leaveOutSlow(section);
    } finally {
      remove(...[...boxes.values()].map((box) => box.place));
      for (const tool of taking) remove(path.join(this.place, `${section}-${tool.name}`));
    }
  }

  #isOut(section, { name }) {
    return [...this.failures, ...this.slow].some(
      (one) => one.section === section && one.who === name,
    );
  }

  #leaveOutSlow(section) {
    for (const [who, seconds] of this.#spent) {
      if (who === this.tools[0].name || seconds <= this.peerSeconds) continue;
      this.log(`${who}: ${Math.round(seconds)} s in ${section}, which is enough of it`);
      this.slow.push({ section, who, seconds });
    }
  }

  #operation(section, operation, boxes) {
    for (const [tool, box] of [...boxes]) {
      if (tool === this.tools[0]) this.#floors(operation, tool, box);
      if (operation.verb !== 'version' && tool[operation.verb] === undefined) continue;
      this.#attempt(section, operation.id, tool, boxes, () => this.#turn(operation, tool, box));
    }
  }

  #floors({ id, verb, version, floors }, tool, box) {
    warm(path.join(box.source(version), box.entry));
    warmStores(verb, tool, box);
    for (const [i, floor] of floors.entries()) {
      try {
        measureFloor(floor, box.begin(id), version);
      } catch (error) {
        // Only the first is what mstore is compared with; a direct write is not possible everywhere.
        if (i === 0) throw error;
      }
    }
  }

  /** One tool's turn: its stores are in memory before, and what it brought back is compared after. */
  #turn({ id, verb, version }, tool, box) {
    box.begin(id);
    if (verb === 'version') {
      box.time(...tool.versionCommand());
      return;
    }
    if (verb === 'add') warm(path.join(box.source(version), box.entry));
    warmStores(verb, tool, box);
    const found = tool[verb](box, version);
    if (verb === 'add') {
      const bytes = bytesBelow(...tool.storedIn(box));
      this.measures.store(box.section, `v${version}`, tool.name, bytes);
    }
    if (found === undefined) return;
    box.compare(found, version);
    remove(found, box.at('clone'), box.at('restored'));
  }

  /** A peer that fails is left out of the rest of its section; mstore may not fail. */
  #attempt(section, operation, tool, boxes, act) {
    const start = performance.now();
    try {
      act();
      const seconds = (performance.now() - start) / 1000;
      this.#spent.set(tool.name, (this.#spent.get(tool.name) ?? 0) + seconds);
    } catch (error) {
      if (tool === this.tools[0]) throw error;
      const why = error instanceof Error ? error.message : String(error);
      this.log(`${tool.name} failed in ${section}, ${operation}: ${why}`);
      this.failures.push({ section, who: tool.name, operation, why });
      remove(boxes.get(tool).place);
      boxes.delete(tool);
    }
  }
}

function warmStores(verb, tool, box) {
  if (verb === 'restore' || verb === 'push') warmAll(tool.storedIn(box));
  if (verb === 'pull') warmAll((tool.remoteIn ?? tool.storedIn)(box));
}

function warmAll(places) {
  for (const place of places) if (fs.existsSync(place)) warm(place);
}

/** Nothing of this machine's configuration takes part, and what tools leave in a home is removed. */
export function scratchEnv(box) {
  const home = box.at('home');
  fs.mkdirSync(home, { recursive: true });
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(XDG|GIT|MSTORE|AWS|GOOGLE|STORAGE|RCLONE)_/.test(name),
  );
  return {
    ...Object.fromEntries(kept),
    HOME: home,
    TMPDIR: box.place,
    LC_ALL: 'C.UTF-8',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
  };
}
