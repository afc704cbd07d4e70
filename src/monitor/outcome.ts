/** What became of one use of a model, or of several that are alike. */
export interface Outcome {
  readonly version: string;
  /** A call of the model, or the loading of it. */
  readonly kind: 'call' | 'load';
  readonly ok: boolean;
  /** How long it took. */
  readonly latency_ms?: number | undefined;
  /** What was predicted: a label, or a number. */
  readonly prediction?: string | number | undefined;
  /** How many were alike. */
  readonly count: number;
}

/** Bounds of what is told of outcomes. */
export const outcomeBounds = {
  /** Outcomes told at once. */
  atOnce: 1000,
  /** Characters of a label. */
  label: 128,
  count: 1_000_000,
  /** A day. */
  latencyMs: 86_400_000,
} as const;
