import type { MonitorAct } from '../flow/monitor.ts';
import type { Judgement } from '../monitor/environment-monitor.ts';
import type { Outcome } from '../monitor/outcome.ts';
import type { Metrics } from './metrics.ts';
import type { PlaceName } from './monitors.ts';

type Labels = Readonly<Record<string, string>>;

const ofVersion = ['model', 'environment', 'version'] as const;
const results = ['ok', 'error'] as const;
/** Labels of predictions that are told apart for a version; the others are counted together. */
const labelsMax = 50;
const otherLabels = 'other labels';

/** Counts what hosts tell of models, in the form that Prometheus reads. Versions that nobody tells of any more are left out. */
export class ModelMetrics {
  readonly #calls;
  readonly #latency: CountedTimes;
  readonly #loads;
  readonly #loading: CountedTimes;
  readonly #predictions;
  readonly #gauges;
  readonly #acts;
  readonly #labels = new Map<string, Set<string>>();

  constructor(metrics: Metrics) {
    const result = [...ofVersion, 'result'];
    const times = (name: string, help: string, buckets: readonly number[]) =>
      new CountedTimes(metrics, name, help, buckets);
    this.#calls = metrics.counter(
      'mstore_model_calls_total',
      'Calls of models that hosts told of',
      result,
    );
    this.#loads = metrics.counter(
      'mstore_model_loads_total',
      'Loads of models that hosts told of',
      result,
    );
    this.#predictions = metrics.counter(
      'mstore_model_predictions_total',
      'Predictions by label; those that are numbers have the label ""',
      [...ofVersion, 'label'],
    );
    this.#acts = metrics.counter('mstore_monitor_acts_total', 'What came of broken rules', [
      ...['model', 'environment', 'act'],
    ]);
    this.#latency = times(
      'mstore_model_latency_seconds',
      'calls that succeeded',
      [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    );
    this.#loading = times(
      'mstore_model_load_seconds',
      'loads that succeeded',
      [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900],
    );
    const gauge = (name: string, help: string) => metrics.labelled(name, help, ofVersion);
    this.#gauges = {
      errorRate: gauge('mstore_model_error_rate', 'Share of calls in the window that failed'),
      p95: gauge('mstore_model_latency_p95_seconds', 'Time of calls in the window'),
      drift: gauge('mstore_model_drift', 'Population stability index against the version before'),
    };
  }

  outcome({ model, environment }: PlaceName, outcome: Outcome): void {
    const { version, kind, ok, count, latency_ms: ms, prediction } = outcome;
    const at = { model, environment, version };
    const [counter, times] =
      kind === 'call' ? [this.#calls, this.#latency] : [this.#loads, this.#loading];
    counter.inc({ ...at, result: ok ? 'ok' : 'error' }, count);
    if (ok && ms !== undefined) times.add(at, ms / 1000, count);
    if (prediction === undefined) return;
    const label = typeof prediction === 'string' ? this.#labelOf(at, prediction) : '';
    this.#predictions.inc({ ...at, label }, count);
  }

  #labelOf(at: Labels, label: string): string {
    const key = Object.values(at).join('@');
    const known = this.#labels.get(key) ?? new Set();
    this.#labels.set(key, known);
    if (!known.has(label) && known.size >= labelsMax) return otherLabels;
    known.add(label);
    return label;
  }

  judged({ model, environment }: PlaceName, { live, measured }: Judgement): void {
    const at = { model, environment, version: live.version };
    const { errorRate, p95, drift } = this.#gauges;
    if (measured.error_rate !== null) errorRate.set(at, measured.error_rate);
    if (measured.latency_p95_ms !== null) p95.set(at, measured.latency_p95_ms / 1000);
    if (measured.drift !== null) drift.set(at, measured.drift);
  }

  acted({ model, environment }: PlaceName, { act }: MonitorAct): void {
    this.#acts.inc({ model, environment, act });
  }

  /** Leaves out a version. */
  forget({ model, environment }: PlaceName, version: string): void {
    const at = { model, environment, version };
    for (const result of results) {
      this.#calls.remove({ ...at, result });
      this.#loads.remove({ ...at, result });
    }
    const key = Object.values(at).join('@');
    for (const label of [...(this.#labels.get(key) ?? []), otherLabels, '']) {
      this.#predictions.remove({ ...at, label });
    }
    this.#labels.delete(key);
    this.#latency.remove(at);
    this.#loading.remove(at);
    for (const gauge of Object.values(this.#gauges)) gauge.remove(at);
  }
}

/** A histogram to which several alike can be added at once, which that of the library cannot. */
class CountedTimes {
  readonly #buckets: readonly number[];
  readonly #bucket;
  readonly #sum;
  readonly #count;

  constructor(metrics: Metrics, name: string, what: string, buckets: readonly number[]) {
    this.#buckets = buckets;
    this.#bucket = metrics.counter(`${name}_bucket`, `Number of ${what}, by their time`, [
      ...ofVersion,
      'le',
    ]);
    this.#sum = metrics.counter(`${name}_sum`, `Time of all ${what}`, ofVersion);
    this.#count = metrics.counter(`${name}_count`, `Number of ${what}`, ofVersion);
  }

  add(at: Labels, seconds: number, count: number): void {
    for (const bound of this.#buckets) {
      this.#bucket.inc({ ...at, le: String(bound) }, seconds <= bound ? count : 0);
    }
    this.#bucket.inc({ ...at, le: '+Inf' }, count);
    this.#sum.inc(at, seconds * count);
    this.#count.inc(at, count);
  }

  remove(at: Labels): void {
    for (const bound of [...this.#buckets.map(String), '+Inf']) {
      this.#bucket.remove({ ...at, le: bound });
    }
    this.#sum.remove(at);
    this.#count.remove(at);
  }
}
