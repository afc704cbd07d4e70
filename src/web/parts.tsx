import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import type { ApiError } from './api.ts';
import { now } from './clock.ts';
import { formatAgo, formatMoment } from './format.ts';
import type { Loaded } from './hooks.ts';
import type { PageOf } from './listing.ts';
import { linkToVersion } from './route.ts';

/** A moment: how long ago it was, and when exactly. */
export function Moment({ at }: { readonly at: string }) {
  return (
    <time dateTime={at} title={`${formatMoment(at)} (${at})`}>
      {formatAgo(at, now())}
    </time>
  );
}

/** A moment to the minute, for tables in which they are compared. */
export function ExactMoment({ at }: { readonly at: string }) {
  return (
    <time dateTime={at} title={`${formatAgo(at, now())} (${at})`} class="exact">
      {formatMoment(at)}
    </time>
  );
}

/** A link to a version. */
export function VersionLink(props: { readonly model: string; readonly version: string }) {
  return (
    <a class="version" href={linkToVersion(props.model, props.version)}>
      {props.version}
    </a>
  );
}

/** An environment in which something is live. */
export function LiveBadge({ environment }: { readonly environment: string }) {
  return (
    <span class="badge live">
      <span class="sign" aria-hidden="true">
        ●
      </span>
      {environment}
    </span>
  );
}

/** The state of a version; the first one, in which most of them are, is told quietly. */
export function StateBadge({ state }: { readonly state: string }) {
  return state === 'active' ? (
    <span class="quiet">active</span>
  ) : (
    <span class={`badge state-${state}`}>{state}</span>
  );
}

/**
 * Says what is wrong, and what to do.
 * @param props `hint` stands in the place of that of the server, which may be for the command line
 */
export function Problem(props: {
  readonly error: ApiError;
  readonly hint?: string;
  readonly onRetry?: () => void;
}) {
  const { error, hint = error.hint, onRetry } = props;
  return (
    <div class="problem" role="alert">
      <p>
        <strong>{error.message}</strong>
      </p>
      {hint !== undefined && <p>{hint}</p>}
      {onRetry !== undefined && (
        <p>
          <button type="button" onClick={onRetry}>
            Try again
          </button>
        </p>
      )}
    </div>
  );
}

/** Says that there is nothing, and how there will be something. */
export function Empty(props: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p>
        <strong>{props.title}</strong>
      </p>
      {props.children}
    </div>
  );
}

/** Shows what was asked for when it is there; until then that it is asked for, or why it is not there. */
export function Show<T>(props: {
  readonly of: Loaded<T>;
  readonly what: string;
  readonly children: (value: T) => ComponentChildren;
}) {
  const { value, error, isLoading } = props.of;
  if (value !== undefined) {
    return (
      <div class="loaded" aria-busy={isLoading}>
        {props.children(value)}
      </div>
    );
  }
  // That the server is gone is said above all views.
  if (error !== undefined && !error.isGone) return <Problem error={error} />;
  return <Waiting what={error === undefined ? props.what : `the server, for ${props.what}`} />;
}

/** Says what is waited for; what comes quickly is not announced. */
export function Waiting({ what }: { readonly what: string }) {
  return (
    <p class="waiting" role="status">
      <span class="spinner" aria-hidden="true" />
      Waiting for {what}…
    </p>
  );
}

/** A table that scrolls by itself where it is too wide, with a caption for screen readers. */
export function Table(props: {
  readonly caption: string;
  readonly head: ComponentChildren;
  readonly children: ComponentChildren;
  readonly class?: string;
  /** Shows the caption above. */
  readonly isTitled?: boolean;
}) {
  const id = useId();
  return (
    // What scrolls has to be reached by the keyboard.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls
    <section class="table" aria-labelledby={id} tabIndex={0}>
      <table class={props.class}>
        <caption id={id} class={props.isTitled === true ? undefined : 'unseen'}>
          {props.caption}
        </caption>
        <thead>{props.head}</thead>
        <tbody>{props.children}</tbody>
      </table>
    </section>
  );
}

/** Leads through the pages of a list; nothing where there is one. */
export function Pager<T>(props: {
  readonly of: PageOf<T>;
  readonly what: string;
  readonly onPage: (page: number) => void;
}) {
  const { page, pages, first, last, total } = props.of;
  if (pages === 1) return null;
  return (
    <nav class="pager" aria-label={`Pages of ${props.what}`}>
      <button type="button" disabled={page === 1} onClick={() => props.onPage(page - 1)}>
        Previous
      </button>
      <p role="status">
        {first}–{last} of {total.toLocaleString('en')}
      </p>
      <button type="button" disabled={page === pages} onClick={() => props.onPage(page + 1)}>
        Next
      </button>
    </nav>
  );
}

/** Fields that choose what of a list is shown. */
export function Filters({ children }: { readonly children: ComponentChildren }) {
  return (
    <search>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        {children}
      </form>
    </search>
  );
}

/** A field for words that are looked for. */
export function SearchField(props: {
  readonly text: string;
  readonly placeholder: string;
  readonly onText: (text: string) => void;
}) {
  return (
    <label>
      Find
      <input
        type="search"
        value={props.text}
        placeholder={props.placeholder}
        onInput={({ currentTarget }) => props.onText(currentTarget.value)}
      />
    </label>
  );
}

/** A command to be copied. */
export function CommandLine({ text }: { readonly text: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = (): void => {
    // Only where the page came by a connection that nobody reads along.
    void navigator.clipboard.writeText(text).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  };
  return (
    <div class="command">
      <code>{text}</code>
      {navigator.clipboard !== undefined && (
        <button type="button" onClick={copy}>
          {isCopied ? 'Copied' : 'Copy'}
        </button>
      )}
    </div>
  );
}
