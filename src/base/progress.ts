/** What a long piece of work is doing; the words are shown to people and sent as events. */
export type ProgressPhase =
  | 'scan'
  | 'add'
  | 'check'
  | 'push'
  | 'fetch'
  | 'checkout'
  | 'import'
  | 'publish'
  | 'package'
  | 'unpackage'
  | 'verify'
  | 'wait'
  | 'gc';

/**
 * Receives the progress of long work. Passing none changes nothing about the result. Calls are cheap
 * and may be many; a receiver decides how often it shows something.
 */
export interface Progress {
  /** Begins a phase; `bytesTotal` and `filesTotal` are the amounts expected, where known. */
  start(phase: ProgressPhase, amounts?: { bytesTotal?: number; filesTotal?: number }): void;
  /** Counts work done since the last call. */
  advance(done: { bytes?: number; files?: number; name?: string }): void;
  /** Ends the phase that was started last. */
  finish(): void;
}

/** A receiver that shows nothing. */
export const silentProgress: Progress = {
  start: () => {},
  advance: () => {},
  finish: () => {},
};
