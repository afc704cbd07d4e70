import type { WhoAmI } from './wire.ts';

/** Answers that are kept, to be shown at once when one comes back to a view. */
const knownMax = 60;
/** A comparison of large versions on a slow place takes its time; beyond that nobody waits. */
const waitMsMax = 180_000;

/** Why a request was not answered as it should be. */
export class ApiError extends Error {
  /** Of HTTP; 0 where there was no answer. */
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;

  constructor(status: number, code: string, message: string, hint?: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }

  /** Whether the server did not answer at all. */
  get isGone(): boolean {
    return this.status === 0;
  }
}

/** What an {@link Api} tells of. */
export interface ApiEvents {
  /** The token lets nobody in, or no longer. */
  readonly onRefused: (error: ApiError) => void;
  /** Whether the server answers. */
  readonly onReach: (isThere: boolean) => void;
}

/** The server, asked in the name of one token. */
export class Api {
  readonly #token: string | undefined;
  readonly #events: ApiEvents;
  readonly #known = new Map<string, unknown>();

  constructor(token: string | undefined, events: ApiEvents) {
    this.#token = token;
    this.#events = events;
  }

  /** The last answer at a path, which may be out of date. */
  known<T>(path: string): T | undefined {
    return this.#known.get(path) as T | undefined;
  }

  /**
   * Asks for what is at a path below `api/v1/`.
   * @throws ApiError
   */
  async get<T>(path: string, signal?: AbortSignal): Promise<T> {
    const answer = await this.#ask<T>(path, {}, signal);
    this.#known.delete(path);
    this.#known.set(path, answer);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= knownMax) break;
      this.#known.delete(oldest);
    }
    return answer;
  }

  /**
   * Has something done.
   * @throws ApiError
   */
  post<T>(path: string, body: object): Promise<T> {
    const headers = { 'content-type': 'application/json' };
    return this.#ask<T>(path, { method: 'POST', headers, body: JSON.stringify(body) });
  }

  /**
   * Asks who the token lets in.
   * @throws ApiError
   */
  whoAmI(signal?: AbortSignal): Promise<WhoAmI> {
    return this.#ask<WhoAmI>('whoami', {}, signal);
  }

  async #ask<T>(path: string, init: RequestInit, signal?: AbortSignal): Promise<T> {
    const late = AbortSignal.timeout(waitMsMax);
    const headers = new Headers(init.headers);
    if (this.#token !== undefined) headers.set('authorization', `Bearer ${this.#token}`);
    let response: Response;
    try {
      response = await fetch(`api/v1/${path}`, {
        ...init,
        headers,
        cache: 'no-store',
        redirect: 'error',
        signal: signal === undefined ? late : AbortSignal.any([signal, late]),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      this.#events.onReach(false);
      throw new ApiError(0, 'unreachable', 'The server does not answer');
    }
    const answer: unknown = await response.json().catch(() => undefined);
    signal?.throwIfAborted();
    this.#events.onReach(true);
    if (response.ok && answer !== undefined) return answer as T;
    const error = errorOf(response.status, answer);
    if (error.status === 401) this.#events.onRefused(error);
    throw error;
  }
}

/** Reads an answer that tells of an error; a proxy in between may have answered in its own way. */
function errorOf(status: number, answer: unknown): ApiError {
  const told = (answer as { error?: Partial<Record<'code' | 'message' | 'hint', string>> } | null)
    ?.error;
  if (typeof told?.message === 'string') {
    return new ApiError(status, String(told.code), told.message, told.hint);
  }
  return new ApiError(status, 'no-answer', `Something answered with ${status}, and not mstore`);
}

/** Writes the path of what is asked of a model. */
export function modelPath(
  model: string,
  rest = '',
  query: Readonly<Record<string, string | number>> = {},
): string {
  const asked = new URLSearchParams(
    Object.entries(query).map(([name, value]) => [name, String(value)]),
  ).toString();
  const path = `ml-models/${encodeURIComponent(model)}${rest}`;
  return asked === '' ? path : `${path}?${asked}`;
}
