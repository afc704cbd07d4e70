import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { useShell } from './hooks.ts';
import { Empty } from './parts.tsx';
import { linkToModel, type Route, titleOf } from './route.ts';
import { ModelView } from './views/model-view.tsx';
import { ModelsView } from './views/models-view.tsx';
import { VersionView } from './views/version-view.tsx';

interface FrameProps {
  readonly isThere: boolean;
  /** What was done last. */
  readonly said: string;
  readonly onSignIn?: () => void;
  readonly onSignOut?: () => void;
}

/** What is around all views: where one is, who one is, and whether the server is there. */
export function Frame({ isThere, said, ...session }: FrameProps) {
  const { place, reload, say } = useShell();
  const { route } = place;
  const heading = useRef<HTMLHeadingElement>(null);
  const name = JSON.stringify(route);
  useEffect(() => {
    document.title = `${titleOf(route)} · mstore`;
  }, [route]);
  useFocusOfView(heading, name);
  return (
    <>
      <button type="button" class="skip" onClick={() => heading.current?.focus()}>
        Skip to the content
      </button>
      <header class="top">
        <a class="home" href="#/">
          <Logo />
          <span>mstore</span>
        </a>
        <p class="quiet place">{location.host}</p>
        <Session {...session} />
      </header>
      <main>
        <p class="gone" role="alert">
          {isThere
            ? ''
            : 'The server does not answer. What is shown may be out of date; trying again…'}
        </p>
        <div class={said === '' ? 'said none' : 'said'}>
          <p role="status">{said}</p>
          <button type="button" onClick={() => say('')}>
            Dismiss
          </button>
        </div>
        <Path route={route} />
        <div class="heading">
          <h1 ref={heading} tabIndex={-1}>
            {headingOf(route)}
          </h1>
          <button type="button" onClick={reload}>
            Reload
          </button>
        </div>
        <View key={name} route={route} />
      </main>
    </>
  );
}

/** Another view begins at its heading, for the keyboard and for screen readers; the first one at the top. */
function useFocusOfView(heading: { readonly current: HTMLElement | null }, name: string): void {
  const shown = useRef(name);
  useLayoutEffect(() => {
    if (shown.current === name) return;
    shown.current = name;
    scrollTo(0, 0);
    heading.current?.focus({ preventScroll: true });
  }, [heading, name]);
}

function View({ route }: { readonly route: Route }) {
  switch (route.view) {
    case 'models':
      return <ModelsView />;
    case 'model':
      return <ModelView model={route.model} tab={route.tab} />;
    case 'version':
      return <VersionView model={route.model} version={route.version} />;
    case 'unknown':
      return (
        <Empty title="There is nothing at this address">
          <p>
            <a href="#/">All models</a>
          </p>
        </Empty>
      );
  }
}

function headingOf(route: Route): string {
  if (route.view === 'model') return route.model;
  return route.view === 'version' ? route.version : titleOf(route);
}

/** The way back up. */
function Path({ route }: { readonly route: Route }): ComponentChildren {
  if (route.view !== 'model' && route.view !== 'version') return null;
  const { model } = route;
  return (
    <nav class="path" aria-label="Way back">
      <ol>
        <li>
          <a href="#/">Models</a>
        </li>
        {route.view === 'version' && (
          <>
            <li>
              <a href={linkToModel(model)}>{model}</a>
            </li>
            <li>
              <a href={linkToModel(model, 'versions')}>Versions</a>
            </li>
          </>
        )}
      </ol>
    </nav>
  );
}

function Session({ onSignIn, onSignOut }: Pick<FrameProps, 'onSignIn' | 'onSignOut'>) {
  const { name, scopes, models } = useShell().who;
  const may = `may ${scopes.join(', ')}${models === undefined ? '' : ` of ${models.join(', ')}`}`;
  return (
    <div class="session">
      <p>
        <span class="unseen">Signed in as </span>
        <b title={may}>{name}</b>
        <span class="unseen">, who {may}</span>
      </p>
      {onSignOut !== undefined && (
        <button type="button" onClick={onSignOut}>
          Sign out
        </button>
      )}
      {onSignIn !== undefined && (
        <button type="button" onClick={onSignIn}>
          Sign in
        </button>
      )}
    </div>
  );
}

/** The mark of mstore. */
export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
      <rect class="ground" width="32" height="32" rx="7" />
      <rect x="7" y="18" width="8" height="7" rx="1.5" />
      <rect x="17" y="18" width="8" height="7" rx="1.5" opacity=".75" />
      <rect x="12" y="8" width="8" height="7" rx="1.5" opacity=".9" />
    </svg>
  );
}
