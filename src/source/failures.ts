import { MstoreError, systemCode } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { type FailureKind, kindOfSystemCode, unreachable } from '../remote/service-errors.ts';

/** What is told of an answer beside its status. */
export interface AnswerFacts {
  readonly status: number;
  /** A header by its name in small letters. */
  header(name: string): string | undefined;
}

/** What is done with another service: models come from it, or go to it. */
export type SourceAct = 'read' | 'publish';

const acts: Readonly<Record<SourceAct, { readonly cannot: string; readonly kept: string }>> = {
  read: { cannot: 'Cannot read', kept: 'what has arrived is kept' },
  publish: { cannot: 'Cannot publish to', kept: 'what has arrived there is not sent again' },
};

/** Hints by the reason of a kind of failure; those of remotes speak of their configuration. */
const hints: Readonly<Record<string, string>> = {
  connection: 'Run the same command again; KEPT',
  stalled: 'Run the same command again; KEPT',
  service: 'Run the same command again later; KEPT',
  throttled: 'Wait a moment and run the same command again; KEPT',
  'no-endpoint': 'Check the address, and the network of this machine',
  'not-http': 'Check host and port of the address',
  'wrong-answer': 'Check the address, and what stands in between',
};

/** Makes the error of a failed request to a source. */
export function sourceError(
  { code, reason, what, hint, triesMax }: FailureKind,
  where: string,
  more: {
    readonly act?: SourceAct | undefined;
    readonly said?: string | undefined;
    readonly status?: number;
    readonly retryAfterMs?: number | undefined;
    readonly cause?: unknown;
  } = {},
): MstoreError {
  const { act = 'read', said, status, retryAfterMs, cause } = more;
  const { cannot, kept } = acts[act];
  const brackets = said === undefined || said === '' ? '' : ` (${printable(said).slice(0, 300)})`;
  return new MstoreError(code, `${cannot} ${printable(where)}: ${what}${brackets}`, {
    hint: (hints[reason] ?? hint)?.replace('KEPT', kept),
    cause,
    details: { reason, source: where, status, triesMax, retryAfterMs },
  });
}

/**
 * Makes the error of a connection that failed; what is no such failure is handed back as it is.
 * @param more host of the proxy that stands in between
 */
export function connectionError(
  error: unknown,
  where: string,
  { proxy, act }: { readonly proxy?: string; readonly act?: SourceAct | undefined } = {},
): unknown {
  const code = systemCode(error);
  const kind = kindOfSystemCode(code);
  const said = proxy === undefined ? code : `${code}, by the proxy ${proxy}`;
  return kind === undefined ? error : sourceError(kind, where, { act, said, cause: error });
}

/** Makes the error of an answer that another try may mend; undefined for one that is final. */
export function passingError(
  answer: AnswerFacts,
  where: string,
  act?: SourceAct,
): MstoreError | undefined {
  const { status } = answer;
  if (status !== 408 && status !== 429 && status < 500) return undefined;
  const busy = status === 429 || status === 503;
  const kind = busy
    ? unreachable('throttled', 'it asks to slow down')
    : unreachable('service', 'the service failed');
  return sourceError(kind, where, {
    act,
    said: `HTTP ${status}`,
    status,
    retryAfterMs: waitAsked(answer),
  });
}

/** Milliseconds that an answer asks to wait: `Retry-After: 7`, or `RateLimit: "api";r=0;t=55`. */
function waitAsked(answer: AnswerFacts): number | undefined {
  const after = /^\d{1,6}$/.exec(answer.header('retry-after') ?? '')?.[0];
  const limit = /;\s*r=0\s*;\s*t=(\d{1,6})/.exec(answer.header('ratelimit') ?? '')?.[1];
  const seconds = after ?? limit;
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}
