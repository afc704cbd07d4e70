/** The scratch folder of one tool in one round, and the clock for what it does there. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { remove } from './data.js';
import { run } from './measure.js';

export class Box {
  /** Which operation the clock runs for; set by `begin`. */
  #operation;
  #settled = false;

  constructor({ place, section, data, env, who, measures, target, counter }) {
    this.place = place;
    this.section = section;
    this.data = data;
    this.env = env;
    this.who = who;
    this.measures = measures;
    this.target = target;
    this.counter = counter;
    this.work = this.at('work');
    fs.mkdirSync(this.work, { recursive: true });
  }

  at(...parts) {
    return path.join(this.place, ...parts);
  }

  get entry() {
    return this.data.entry;
  }

  /** Whether the entry is a folder. */
  get isTree() {
    return this.entry !== 'model.bin';
  }

  /** The folder that holds a version of the entry, for tools that read from where the data is. */
  source(version) {
    return path.join(this.data.place, `v${version}`);
  }

  /** Puts a version where tools with a work tree want it. */
  put(version) {
    const to = path.join(this.work, this.entry);
    remove(to);
    run('cp', ['-r', path.join(this.source(version), this.entry), to]);
  }

  /** Names the operation whose time the next commands are; returns itself. */
  begin(operation) {
    this.#operation = operation;
    this.#settled = false;
    return this;
  }

  /**
   * Runs a command against the clock; several in one operation add up. `as` names a floor. With a counter,
   * what is counted is kept and not the time, which counting makes longer.
   */
  time(command, args, { cwd = this.work, as = this.who } = {}) {
    if (!this.#settled) this.settle();
    const peakFile = this.at('peak');
    const before = this.counter?.read();
    const result = run(command, args, { cwd, env: this.env, peakFile });
    const { stdout: _, ...used } = result;
    const figures = before === undefined ? used : this.counter.since(before);
    this.measures.add(this.section, this.#operation, as, figures);
    return result;
  }

  /** Writes out what whoever came before left in memory, so that it does not burden who comes next. */
  settle() {
    run('sync', []);
    this.#settled = true;
  }

  /** Runs a command that is not measured. */
  quiet(command, args, { cwd = this.work } = {}) {
    return run(command, args, { cwd, env: this.env });
  }

  /** Throws unless what a tool brought back is what it was given: the entry, or a file of it. */
  compare(found, version, file) {
    const expected = path.join(this.source(version), this.entry, file ?? '');
    // Pointers lie beside what they stand for.
    if (this.isTree && file === undefined) run('diff', ['-r', '-x', '*.mstore', expected, found]);
    else run('cmp', [expected, found]);
  }
}
