import type { Clock } from '../base/clock.ts';
import { type ErrorCode, isMstoreError, type MstoreError } from '../base/errors.ts';
import type { RemoteProbe } from '../remote/remote.ts';

/** What is checked, in this order. */
export const checkNames = [
  'identity',
  'region',
  'reach',
  'header',
  'read',
  'write',
  'list',
  'range',
  'create-if-absent',
  'parts-if-absent',
  'read-after-write',
  'delete',
] as const;

/** What is checked beside it where a role is asked for. */
const roleCheckNames = [
  'may-read',
  'may-create',
  'may-delete',
  'must-not-create',
  'must-not-delete',
] as const;
export type CheckName = (typeof checkNames)[number] | (typeof roleCheckNames)[number];

/**
 * How a check ended. `warning` is a failure of what pushes and fetches do not need, or a risk that the
 * configuration accepts.
 */
export type CheckState = 'ok' | 'warning' | 'failed' | 'skipped';

/** One check of a remote. */
export interface CheckResult {
  readonly name: CheckName;
  readonly state: CheckState;
  /** Milliseconds it took. */
  readonly ms: number;
  /** The code of the error, where one was the outcome. */
  readonly code?: ErrorCode;
  /** What was found, what went wrong, or why it was not tried. */
  readonly message?: string;
  /** What to set or to ask for. */
  readonly hint?: string;
}

/** How a check ended, as its own code says. */
export type CheckOutcome = Omit<CheckResult, 'name' | 'ms'>;

/** What a check needs the right to. */
export type NeededRight = keyof RemoteProbe['rights'];

/** Turns the error that ended a check into its outcome. */
export type JudgeFailure = (
  name: CheckName,
  right: NeededRight | undefined,
  error: MstoreError,
) => CheckOutcome;

/** The checks of one remote as they are done, each timed and told of. */
export class CheckList {
  readonly results: CheckResult[] = [];
  readonly #clock: Clock;
  readonly #judge: JudgeFailure;
  readonly #onCheck: ((check: CheckResult) => void) | undefined;

  constructor(clock: Clock, judge: JudgeFailure, onCheck?: (check: CheckResult) => void) {
    this.#clock = clock;
    this.#judge = judge;
    this.#onCheck = onCheck;
  }

  /** Adds a check that is done. */
  add(result: CheckResult): void {
    this.results.push(result);
    this.#onCheck?.(result);
  }

  /** Adds a check that is not tried. */
  skip(name: CheckName, why: string): void {
    this.add({ name, state: 'skipped', ms: 0, message: why });
  }

  /** Does a check and adds it; its failure is returned. */
  async try(
    name: CheckName,
    right: NeededRight | undefined,
    work: () => Promise<CheckOutcome>,
  ): Promise<{ readonly error: MstoreError | undefined }> {
    const { result, error } = await this.timed(name, right, work);
    this.add(result);
    return { error };
  }

  /** Does a check without adding it. */
  async timed(
    name: CheckName,
    right: NeededRight | undefined,
    work: () => Promise<CheckOutcome>,
  ): Promise<{ readonly result: CheckResult; readonly error: MstoreError | undefined }> {
    const start = this.#clock.monotonic();
    const end = (outcome: CheckOutcome): CheckResult => {
      const { state, ...rest } = outcome;
      return { name, state, ms: Math.round(this.#clock.monotonic() - start), ...rest };
    };
    try {
      return { result: end(await work()), error: undefined };
    } catch (error) {
      throwInterrupted(error);
      if (!isMstoreError(error)) throw error;
      return { result: end(this.#judge(name, right, error)), error };
    }
  }
}

/** Throws an error on when it is the end of the whole command, and none of the check that met it. */
export function throwInterrupted(error: unknown): void {
  if (isMstoreError(error, 'interrupted')) throw error;
}
