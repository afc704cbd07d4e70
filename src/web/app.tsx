import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
import { Api, type ApiError } from './api.ts';
import { Frame } from './frame.tsx';
import { type Shell, ShellContext } from './hooks.ts';
import { Problem, Waiting } from './parts.tsx';
import { type Place, parsePlace } from './route.ts';
import { storedToken, storeToken } from './session.ts';
import { SignIn } from './sign-in.tsx';
import type { WhoAmI } from './wire.ts';

/** How often a server that does not answer is asked whether it does again. */
const askAgainMs = 5000;

/** The page: asks for a token where the server wants one, then shows what the address names. */
export function App() {
  const [token, setToken] = useState(storedToken);
  const [who, setWho] = useState<WhoAmI>();
  const [refusal, setRefusal] = useState<ApiError>();
  const [isAsking, setAsking] = useState(false);
  const [problem, setProblem] = useState<ApiError>();
  const [isThere, setThere] = useState(true);
  const [epoch, setEpoch] = useState(0);
  const [said, setSaid] = useState('');
  const place = usePlace();

  const enter = useCallback((next: string | undefined): void => {
    storeToken(next);
    setRefusal(undefined);
    setAsking(false);
    setSaid('');
    setWho(undefined);
    setToken(next);
  }, []);
  const api = useMemo(() => {
    const onRefused = (error: ApiError): void => {
      storeToken(undefined);
      setRefusal(error);
      setWho(undefined);
      setToken(undefined);
    };
    return new Api(token, { onRefused, onReach: setThere });
  }, [token]);
  const reload = useCallback(() => setEpoch((old) => old + 1), []);
  useReturn(api, isThere, reload);

  useEffect(() => {
    const stop = new AbortController();
    setProblem(undefined);
    api.whoAmI(stop.signal).then(setWho, (error: ApiError) => {
      if (!stop.signal.aborted && error.status !== 401) setProblem(error);
    });
    return () => stop.abort();
  }, [api, epoch]);

  const mayRead = who?.scopes.includes('read') === true;
  if (who !== undefined && mayRead && !isAsking) {
    const shell: Shell = { api, who, place, epoch, reload, say: setSaid };
    const session =
      token === undefined
        ? { onSignIn: () => setAsking(true) }
        : { onSignOut: () => enter(undefined) };
    return (
      <ShellContext.Provider value={shell}>
        <Frame isThere={isThere} said={said} {...session} />
      </ShellContext.Provider>
    );
  }
  if (who !== undefined || refusal !== undefined) {
    const reader = token !== undefined && !mayRead ? who?.name : undefined;
    const cancel = mayRead ? { onCancel: () => setAsking(false) } : {};
    return <SignIn refusal={refusal} name={reader} onToken={enter} {...cancel} />;
  }
  return (
    <main class="alone">
      {problem !== undefined && !problem.isGone ? (
        <Problem error={problem} onRetry={reload} />
      ) : (
        <Waiting what="the server" />
      )}
    </main>
  );
}

/** Follows the address. */
function usePlace(): Place {
  const [place, setPlace] = useState(() => parsePlace(location.hash));
  useEffect(() => {
    const follow = (): void => setPlace(parsePlace(location.hash));
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return place;
}

/** Asks a server that is gone whether it is there again, and for all that is shown when it is. */
function useReturn(api: Api, isThere: boolean, reload: () => void): void {
  useEffect(() => {
    if (isThere) return;
    const timer = setInterval(() => {
      api.whoAmI().then(reload, () => {});
    }, askAgainMs);
    return () => clearInterval(timer);
  }, [api, isThere, reload]);
}
