import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { type Outcome, outcomeBounds } from '../../monitor/outcome.ts';
import type { ModelEventMap, ModelEvents } from '../../session/model-events.ts';
import type { ModelTensor } from '../../session/tensors.ts';
import { surroundingsOf } from '../resolve/resolve.ts';
import type { Surroundings } from '../surroundings.ts';

/** Options of {@link reportOutcomes}. */
export interface ReportOptions {
  /** URL of an `mstore serve`. */
  readonly server: string;
  readonly model: string;
  /** Where this program runs; `production` unless told. */
  readonly environment?: string | undefined;
  /** A token with the scope `report`; by default that of `MSTORE_TOKEN`. */
  readonly token?: string | undefined;
  /** Milliseconds between two reports; 5000 unless told. */
  readonly everyMs?: number | undefined;
  /** What the outputs of a call say: a label, or a number, by which drift is noticed. */
  readonly prediction?:
    | ((outputs: Readonly<Record<string, ModelTensor>>) => string | number | undefined)
    | undefined;
  /** Told of reports that did not arrive. They are no failure of the program. */
  readonly onError?: ((error: MstoreError) => void) | undefined;
  readonly surroundings?: Surroundings | undefined;
}

const everyMsUsual = 5_000;
const answerMsMax = 10_000;
/** What could not be told for so long is left out: it says nothing of how things are. */
const ageMsMax = 60_000;
/** Times that differ by less than 2 % are counted as one, as the server does. */
const logStep = Math.log(1.04);

/** Kinds of outcomes that wait at most. */
const kindsMax = 4 * outcomeBounds.atOnce;

/** Failures that are not the model's. */
const otherCodes = ['interrupted', 'usage'] as const;

/**
 * Begins to tell a server what becomes of the calls of a model. Give it to {@link loadModel} as `events`, or call
 * {@link OutcomeReporter.report} for models of other runtimes.
 * @throws MstoreError `usage` for a server that is no URL, `offline` where no network may be used
 */
export function reportOutcomes(options: ReportOptions): OutcomeReporter {
  return new OutcomeReporter(options);
}

/** Tells a server what becomes of the calls of a model: what is alike is counted, and told every few seconds. */
export class OutcomeReporter implements ModelEvents {
  readonly #options: ReportOptions;
  readonly #surroundings: Surroundings;
  readonly #url: URL;
  readonly #timer: NodeJS.Timeout;
  #waiting = new Map<string, Counted>();
  /** Monotonic time since which something waits. */
  #since = 0;
  #sending: Promise<void> = Promise.resolve();

  /** Programs call {@link reportOutcomes}. */
  constructor(options: ReportOptions) {
    this.#options = options;
    this.#surroundings = surroundingsOf(options);
    this.#url = urlOf(options);
    if (this.#surroundings.offline) {
      throw new MstoreError('offline', 'Outcomes cannot be told offline', {
        hint: 'Leave out the report, or MSTORE_OFFLINE',
      });
    }
    this.#timer = setInterval(() => void this.flush(), options.everyMs ?? everyMsUsual);
    // It does not keep a program alive.
    this.#timer.unref();
  }

  /** Takes events of {@link loadModel}; those of other models are left out. */
  emit<K extends keyof ModelEventMap>(_name: K, ...[event]: ModelEventMap[K]): boolean {
    const { model, version, milliseconds: latency_ms } = event;
    if (version === undefined || model !== this.#options.model) return false;
    if ('outputs' in event) {
      const prediction = this.#options.prediction?.(event.outputs);
      this.report({ version, ok: true, latency_ms, prediction });
    } else if ('error' in event) {
      if (isMstoreError(event.error, ...otherCodes)) return false;
      this.report({ version, ok: false, kind: event.phase === 'load' ? 'load' : 'call' });
    } else this.report({ version, ok: true, kind: 'load', latency_ms });
    return true;
  }

  /** Counts what became of a call, or of a load. */
  report({ version, ok, kind = 'call', latency_ms, prediction, count = 1 }: ReportedOutcome): void {
    const time = latency_ms === undefined ? undefined : rounded(latency_ms);
    const label = typeof prediction === 'string' ? shortened(prediction) : finite(prediction);
    const key = JSON.stringify([version, ok, kind, time, label]);
    const known = this.#waiting.get(key);
    if (known !== undefined) {
      known.count = Math.min(outcomeBounds.count, known.count + count);
      return;
    }
    // More kinds than that come only where the server is slow: they are left out.
    if (this.#waiting.size >= kindsMax) return;
    if (this.#waiting.size === 0) this.#since = this.#surroundings.clock.monotonic();
    const outcome = { version, ok, kind, count, latency_ms: time, prediction: label };
    this.#waiting.set(key, outcome);
    if (this.#waiting.size === outcomeBounds.atOnce) void this.flush();
  }

  /** Tells what waits; resolves when it was told, or could not be. */
  flush(): Promise<void> {
    this.#sending = this.#sending.then(() => this.#send());
    return this.#sending;
  }

  /** Tells what waits, and ends. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #send(): Promise<void> {
    if (this.#waiting.size === 0) return;
    const [all, since] = [[...this.#waiting], this.#since];
    const taken = all.slice(0, outcomeBounds.atOnce);
    this.#waiting = new Map(all.slice(outcomeBounds.atOnce));
    this.#since = this.#surroundings.clock.monotonic();
    const failure = await this.#post(taken.map(([, outcome]) => outcome));
    if (failure === undefined) return;
    const age = this.#surroundings.clock.monotonic() - since;
    if (failure.code === 'remote-unreachable' && age < ageMsMax) {
      // It is told again together with what came meanwhile.
      const later = [...this.#waiting.values()];
      this.#waiting = new Map(taken);
      this.#since = since;
      for (const outcome of later) this.report(outcome);
    }
    this.#options.onError?.(failure);
  }

  async #post(outcomes: readonly Counted[]): Promise<MstoreError | undefined> {
    const { environment = 'production', token } = this.#options;
    const secret = token ?? this.#surroundings.env['MSTORE_TOKEN'];
    const body = JSON.stringify({ environment, outcomes });
    try {
      const answer = await fetch(this.#url, {
        method: 'POST',
        redirect: 'manual',
        headers: {
          'content-type': 'application/json',
          ...(secret ? { authorization: `Bearer ${secret}` } : {}),
        },
        body,
        signal: AbortSignal.timeout(answerMsMax),
      });
      await answer.body?.cancel();
      if (answer.ok) return undefined;
      return failed(this.#url, `it answers ${answer.status}`, answer.status);
    } catch {
      return failed(this.#url, 'it cannot be reached, or does not answer', 0);
    }
  }
}

/** What a program tells of a call, or of several that are alike. */
export type ReportedOutcome = Pick<Outcome, 'version' | 'ok' | 'latency_ms' | 'prediction'> &
  Partial<Pick<Outcome, 'kind' | 'count'>>;

type Counted = { -readonly [K in keyof Outcome]: Outcome[K] };

function urlOf({ server, model }: ReportOptions): URL {
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new MstoreError('usage', `${printable(server)} is no URL of a server`, {
      hint: 'Give the address of an "mstore serve", https://HOST',
    });
  }
  const base = url.pathname.replace(/\/*$/, '');
  url.pathname = `${base}/api/v1/ml-models/${encodeURIComponent(model)}/outcomes`;
  return url;
}

function failed({ host }: URL, why: string, status: number): MstoreError {
  const isPassing = status === 0 || status === 429 || status >= 500;
  const code = isPassing ? 'remote-unreachable' : 'remote-refused';
  return new MstoreError(code, `Outcomes could not be told to ${host}: ${why}`, {
    hint: 'Check the address, and that the token has the scope report',
    details: { host, status },
  });
}

function rounded(ms: number): number | undefined {
  if (!(ms >= 0)) return undefined;
  const bounded = Math.min(ms, outcomeBounds.latencyMs);
  if (bounded < 0.001) return 0;
  const step = Math.exp(Math.round(Math.log(bounded) / logStep) * logStep);
  return Math.min(outcomeBounds.latencyMs, Number(step.toPrecision(4)));
}

function finite(prediction: number | undefined): number | undefined {
  return prediction === undefined || !Number.isFinite(prediction) ? undefined : prediction;
}

function shortened(label: string): string | undefined {
  return label === '' ? undefined : [...label].slice(0, outcomeBounds.label).join('');
}
