import { throwIfAborted, untilAborted } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { type ModelEvents, tell } from './model-events.ts';
import { type ModelFormat, type RuntimeName, type RuntimeSession, reasonOf } from './runtime.ts';
import {
  checkFeeds,
  checkOutputs,
  type InputTensor,
  type ModelTensor,
  type TensorFacts,
} from './tensors.ts';

/** What was loaded. */
export interface LoadedFacts {
  /** The reference as it was given. */
  readonly reference: string;
  /** The same, so that it means these bytes for ever. */
  readonly exact: string;
  /** Of a version of the registry. */
  readonly model?: string;
  readonly version?: string;
  /** Path of the model in the version. */
  readonly file: string;
  /** Digest of that file. */
  readonly sha256: string;
  /** Bytes that were handed to the runtime, with the other files of the model. */
  readonly bytes: number;
  readonly format: ModelFormat;
  readonly runtime: RuntimeName;
  /** What the policy of validation warns of. */
  readonly warnings: readonly string[];
}

/** Options of {@link LoadedModel.predict}. */
export interface PredictOptions {
  /** Names of the outputs that are wanted; by default all. */
  readonly outputs?: readonly string[];
  /** Ends the wait. The runtime cannot be stopped: it runs to its end, and {@link LoadedModel.close} waits for that. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A model that is ready to be run. It holds memory of its runtime until it is closed, which
 * `await using` does by itself.
 */
export class LoadedModel {
  readonly info: LoadedFacts;
  /** The labels that a classifier tells apart, by number; null where the version has none. */
  readonly labels: readonly string[] | null;
  readonly inputs: readonly TensorFacts[];
  readonly outputs: readonly TensorFacts[];
  readonly #session: RuntimeSession;
  readonly #events: ModelEvents | undefined;
  readonly #clock: Clock;
  readonly #running = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  /** Programs call `loadModel`. */
  constructor(parts: {
    info: LoadedFacts;
    labels: readonly string[] | null;
    session: RuntimeSession;
    events: ModelEvents | undefined;
    clock: Clock;
  }) {
    this.info = parts.info;
    this.labels = parts.labels;
    this.inputs = parts.session.inputs;
    this.outputs = parts.session.outputs;
    this.#session = parts.session;
    this.#events = parts.events;
    this.#clock = parts.clock;
  }

  /**
   * Runs the model. May be called while it runs.
   * @param feeds for each input a tensor: `{ data, dims }`, or one of the runtime
   * @returns the outputs by name
   * @throws MstoreError `bad-input` before the runtime is asked, `runtime-failed`, `interrupted`, `usage` after {@link close}
   */
  async predict(
    feeds: Readonly<Record<string, InputTensor | object>>,
    options: PredictOptions = {},
  ): Promise<Record<string, ModelTensor>> {
    const { reference, model, version } = this.info;
    const of = { reference, model, version };
    const start = this.#clock.monotonic();
    const since = () => this.#clock.monotonic() - start;
    try {
      const results = await this.#predict(feeds, options);
      tell(this.#events, 'predicted', { ...of, milliseconds: since(), outputs: results });
      return results;
    } catch (error) {
      tell(this.#events, 'failed', { ...of, phase: 'predict', error, milliseconds: since() });
      throw error;
    }
  }

  async #predict(
    feeds: Readonly<Record<string, InputTensor | object>>,
    options: PredictOptions,
  ): Promise<Record<string, ModelTensor>> {
    if (this.#closed !== undefined) {
      throw new MstoreError('usage', `The model ${this.info.exact} is closed`, {
        hint: 'Load it again, or close it after the last prediction',
      });
    }
    throwIfAborted(options.signal);
    const outputs = checkOutputs(options.outputs, this.outputs);
    const checked = checkFeeds(feeds, this.inputs, this.#session.own);
    const run = this.#session.run(checked, outputs);
    this.#running.add(run);
    const ended = () => void this.#running.delete(run);
    run.then(ended, ended);
    try {
      return await untilAborted(run, options.signal);
    } catch (error) {
      if (isMstoreError(error)) throw error;
      const message = `${this.info.runtime} failed to run the model: ${reasonOf(error)}`;
      throw new MstoreError('runtime-failed', message, {
        hint: 'Check the inputs against what the model was trained on',
        cause: error,
        details: { runtime: this.info.runtime, file: this.info.file },
      });
    }
  }

  /** Frees the model when the predictions under way have ended; later ones are refused. May be called again. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#running);
    await this.#session.close();
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
