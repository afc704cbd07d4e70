import type { FastifyInstance } from 'fastify';
import type { Framework } from './framework.ts';

type MetricKinds = Framework['metrics'];

/** What the server counts, in the form that Prometheus reads. */
export class Metrics {
  readonly #kinds: MetricKinds;
  readonly #registry: InstanceType<MetricKinds['Registry']>;

  constructor(kinds: MetricKinds) {
    this.#kinds = kinds;
    this.#registry = new kinds.Registry();
    kinds.collectDefaultMetrics({ register: this.#registry });
  }

  /** Type of the text of {@link text}. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All numbers, as Prometheus reads them. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** Adds a number that is looked up when it is asked for. */
  gauge(name: string, help: string, read: () => number): void {
    new this.#kinds.Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.set(read());
      },
    });
  }

  /** Adds numbers that only grow and are counted elsewhere, one for each method. */
  counted(name: string, help: string, read: () => Readonly<Record<string, number>>): void {
    new this.#kinds.Counter({
      name,
      help,
      labelNames: ['method'],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [method, count] of Object.entries(read())) this.inc({ method }, count);
      },
    });
  }

  /** Adds numbers that only grow, one for each set of labels. */
  counter<L extends string>(name: string, help: string, labelNames: readonly L[]) {
    const registers = [this.#registry];
    return new this.#kinds.Counter({ name, help, labelNames, registers });
  }

  /** Adds numbers that come and go, one for each set of labels. */
  labelled<L extends string>(name: string, help: string, labelNames: readonly L[]) {
    const registers = [this.#registry];
    return new this.#kinds.Gauge({ name, help, labelNames, registers });
  }

  /** Counts the requests of a server. Routes are named by their patterns, so that there are few. */
  watch(app: FastifyInstance): void {
    const { Counter, Histogram } = this.#kinds;
    const registers = [this.#registry];
    const requests = new Counter({
      name: 'mstore_http_requests_total',
      help: 'Requests that were answered',
      labelNames: ['method', 'route', 'status'],
      registers,
    });
    const seconds = new Histogram({
      name: 'mstore_http_request_duration_seconds',
      help: 'Time from the head of a request to the end of its answer',
      labelNames: ['method', 'route'],
      buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300],
      registers,
    });
    const sent = new Counter({
      name: 'mstore_http_sent_bytes_total',
      help: 'Bytes of objects and files that were sent',
      labelNames: ['route'],
      registers,
    });
    const refused = new Counter({
      name: 'mstore_http_refused_total',
      help: 'Requests that were refused for want of a token or a scope, or for coming too often',
      labelNames: ['status'],
      registers,
    });
    app.addHook('onResponse', async (request, reply) => {
      const route = request.routeOptions.url ?? 'none';
      const { method } = request;
      const { statusCode } = reply.raw;
      const status = String(statusCode);
      requests.inc({ method, route, status });
      seconds.observe({ method, route }, reply.elapsedTime / 1000);
      if (request.sentBytes > 0) sent.inc({ route }, request.sentBytes);
      if ([401, 403, 429].includes(statusCode)) refused.inc({ status });
    });
  }
}
