import type { Clock } from '../../src/base/clock.ts';

/** A time of its own, which goes on only when all that runs in it waits. */
export class VirtualTime {
  /** Milliseconds since it began. */
  now = 0;
  readonly clock: Clock = { now: () => this.now, monotonic: () => this.now };
  #waiting: { readonly at: number; readonly go: () => void }[] = [];

  /** Waits in this time; the signal is not looked at. */
  readonly sleep = (ms: number): Promise<void> =>
    new Promise((go) => this.#waiting.push({ at: this.now + ms, go }));

  /** Lets time go on until the work is done. */
  async run<T>(work: Promise<T>): Promise<T> {
    let done = false;
    const end = () => {
      done = true;
    };
    work.then(end, end);
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (done) return work;
      const at = Math.min(...this.#waiting.map((one) => one.at));
      const due = this.#waiting.filter((one) => one.at === at);
      this.#waiting = this.#waiting.filter((one) => one.at !== at);
      if (due.length > 0) this.now = at;
      for (const { go } of due) go();
    }
  }
}
