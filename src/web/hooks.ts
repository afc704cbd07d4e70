import { createContext, type RefObject } from 'preact';
import { useContext, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Api, ApiError } from './api.ts';
import type { Place } from './route.ts';
import type { WhoAmI } from './wire.ts';

/** What all views work with. */
export interface Shell {
  readonly api: Api;
  readonly who: WhoAmI;
  readonly place: Place;
  /** Grows with each reload. */
  readonly epoch: number;
  /** Asks anew for all that is shown. */
  reload(): void;
  /** Tells what was done, in text and to screen readers. */
  say(text: string): void;
}

/** The shell of the view that is rendered. */
export const ShellContext = createContext<Shell | undefined>(undefined);

/** Returns the shell that is around. */
export function useShell(): Shell {
  const shell = useContext(ShellContext);
  if (shell === undefined) throw new Error('A view is shown outside of the shell');
  return shell;
}

/** Something that is asked of the server. */
export interface Loaded<T> {
  /** The last answer, also while it is asked for anew. */
  readonly value: T | undefined;
  readonly error: ApiError | undefined;
  readonly isLoading: boolean;
}

interface LoadState<T> extends Loaded<T> {
  readonly path: string | undefined;
}

/** Asks for what is at a path, and anew at each reload; nothing where there is no path. */
export function useLoad<T>(path: string | undefined): Loaded<T> {
  const { api, epoch } = useShell();
  const [state, setState] = useState<LoadState<T>>();
  useEffect(() => {
    if (path === undefined) return;
    const stop = new AbortController();
    const known = api.known<T>(path);
    setState({ path, value: known, error: undefined, isLoading: true });
    api.get<T>(path, stop.signal).then(
      (value) => setState({ path, value, error: undefined, isLoading: false }),
      (error: ApiError) => {
        // What has gone out of date is shown only where it may still be so.
        const value = error.isGone ? known : undefined;
        if (!stop.signal.aborted) setState({ path, value, error, isLoading: false });
      },
    );
    return () => stop.abort();
  }, [api, path, epoch]);
  if (path === undefined) return { value: undefined, error: undefined, isLoading: false };
  if (state?.path === path) return state;
  return { value: api.known<T>(path), error: undefined, isLoading: true };
}

/** Measures the width of an element, so that what is drawn in it can have text of one size. */
export function useWidth<E extends Element>(): readonly [RefObject<E | null>, number] {
  const element = useRef<E>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const { current } = element;
    if (current === null) return;
    setWidth(Math.floor(current.getBoundingClientRect().width));
    const observer = new ResizeObserver(([entry]) => {
      if (entry !== undefined) setWidth(Math.floor(entry.contentRect.width));
    });
    observer.observe(current);
    return () => observer.disconnect();
  }, []);
  return [element, width];
}

/** Returns what changes the query of the address in place: a filter is no step that one goes back from. */
export function useQuery(): readonly [
  URLSearchParams,
  (changes: Readonly<Record<string, string | undefined>>) => void,
] {
  const { query } = useShell().place;
  const change = (changes: Readonly<Record<string, string | undefined>>): void => {
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined || value === '') next.delete(name);
      else next.set(name, value);
    }
    const [path] = location.hash.split('?', 1);
    const asked = next.toString();
    history.replaceState(null, '', asked === '' ? `${path}` : `${path}?${asked}`);
    dispatchEvent(new HashChangeEvent('hashchange'));
  };
  return [query, change];
}

/** Tells whether the token may move environments of a model. */
export function useMayMove(model: string): boolean {
  const { scopes, models } = useShell().who;
  return scopes.includes('deploy') && (models === undefined || models.includes(model));
}
