/** Work that the system does for this process outside of JavaScript, as Node names it. */
const busyWith = /^(?:FSReq|CloseReq|FileHandleCloseReq|Immediate)/;

/** Events of one run at most; a run that needs more goes round in circles. */
const eventsMax = 200_000;

interface Planned {
  readonly at: number;
  readonly name: string;
  readonly happen: () => void;
}

/**
 * The time of a simulation, in whole milliseconds. Events happen one at a time, the earliest first, of those of
 * one moment the first by name; the next one happens when all that the one before set off has come to rest.
 */
export class Events {
  /** Milliseconds since the beginning. */
  now = 0;
  /** What happened, one line each. */
  readonly trace: string[] = [];
  #planned: Planned[] = [];
  #count = 0;

  /** Plans an event. Its name must tell it from all others of the same moment. */
  after(ms: number, name: string, happen: () => void): void {
    const event = { at: this.now + Math.max(0, Math.round(ms)), name, happen };
    let low = 0;
    let high = this.#planned.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(this.#planned[middle] as Planned, event)) high = middle;
      else low = middle + 1;
    }
    this.#planned.splice(low, 0, event);
  }

  /** Writes a line of the trace. */
  tell(line: string): void {
    this.trace.push(`${(this.now / 1000).toFixed(3).padStart(14)} ${line}`);
  }

  /**
   * Lets events happen until none is planned, or `done` says so.
   * @throws Error where it does not come to an end
   */
  async run(done: () => boolean): Promise<void> {
    await rest();
    while (!done()) {
      // The next one is at the end, where it is taken off without moving the others.
      const event = this.#planned.pop();
      if (event === undefined) return;
      if (++this.#count > eventsMax) throw new Error(`More than ${eventsMax} events`);
      this.now = event.at;
      event.happen();
      await rest();
    }
  }
}

/** Whether `one` stands behind `other` in time, and so before it in the list. */
function isBefore(one: Planned, other: Planned): boolean {
  return one.at === other.at ? one.name < other.name : one.at < other.at;
}

/** Waits until all promises that can go on have done so, and no file is being read or written. */
async function rest(): Promise<void> {
  do {
    await new Promise((resolve) => setImmediate(resolve));
  } while (process.getActiveResourcesInfo().some((name) => busyWith.test(name)));
}
