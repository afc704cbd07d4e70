/** Counts what goes between a command and a service. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

export class ServiceCounter {
  #counts;
  #worker;

  /** Starts the proxy that counts; `endpoint` is its URL. */
  static async start() {
    const counter = new ServiceCounter();
    const shared = new SharedArrayBuffer(3 * BigInt64Array.BYTES_PER_ELEMENT);
    counter.#counts = new BigInt64Array(shared);
    const file = new URL('counting-proxy.js', import.meta.url);
    counter.#worker = new Worker(file, { workerData: { shared } });
    [counter.endpoint] = await once(counter.#worker, 'message');
    return counter;
  }

  /** Sends what comes from now on to a service. */
  async passTo(endpoint) {
    this.#worker.postMessage(endpoint);
    await once(this.#worker, 'message');
  }

  /** Counts of all so far. */
  read() {
    return Array.from(this.#counts, (_, i) => Number(Atomics.load(this.#counts, i)));
  }

  /** What came since {@link read} gave `before`. */
  since(before) {
    const [requests, sent, received] = this.read().map((count, i) => count - before[i]);
    return { requests, sent, received };
  }

  async end() {
    await this.#worker.terminate();
  }
}
