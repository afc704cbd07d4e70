import type { ModelTensor } from './tensors.ts';

/** Which model it is about. */
interface ModelEvent {
  /** The reference as it was given. */
  readonly reference: string;
  /** Of a version of a registry; absent for others, and where it is not known what the reference means. */
  readonly model?: string | undefined;
  readonly version?: string | undefined;
}

/** A model that was loaded. */
export interface LoadedEvent extends ModelEvent {
  /** Path of the model in the version. */
  readonly file: string;
  readonly runtime: string;
  /** Bytes that were handed to the runtime. */
  readonly bytes: number;
  /** From the call to the ready model. */
  readonly milliseconds: number;
}

/** A prediction that was made. */
export interface PredictedEvent extends ModelEvent {
  readonly milliseconds: number;
  /** What the call returns. */
  readonly outputs: Readonly<Record<string, ModelTensor>>;
}

/** What failed; the same error is thrown. */
export interface FailedEvent extends ModelEvent {
  readonly phase: 'load' | 'predict';
  readonly error: unknown;
  readonly milliseconds: number;
}

/** Events of models, by name: listeners get one of these. */
export interface ModelEventMap {
  readonly loaded: [event: LoadedEvent];
  readonly predicted: [event: PredictedEvent];
  readonly failed: [event: FailedEvent];
}

/** Where events go: `new EventEmitter<ModelEventMap>()` of `node:events`, or anything with its `emit`. */
export interface ModelEvents {
  emit<K extends keyof ModelEventMap>(name: K, ...event: ModelEventMap[K]): unknown;
}

/**
 * Tells listeners of an event. What one of them throws is no failure of the model: it ends up where errors of
 * listeners of an `EventTarget` do, as an uncaught exception.
 */
export function tell<K extends keyof ModelEventMap>(
  events: ModelEvents | undefined,
  name: K,
  ...event: ModelEventMap[K]
): void {
  try {
    events?.emit(name, ...event);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
