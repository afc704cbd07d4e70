import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Api, ApiError } from './api.ts';
import { Logo } from './frame.tsx';
import { Problem } from './parts.tsx';

interface SignInProps {
  /** Why the token of before lets nobody in. */
  readonly refusal: ApiError | undefined;
  /** Name of a token that may not read. */
  readonly name: string | undefined;
  readonly onToken: (token: string | undefined) => void;
  /** Goes back to what may be read without one. */
  readonly onCancel?: () => void;
}

/** Asks for a token, and tries it before it is kept. */
export function SignIn({ refusal, name, onToken, onCancel }: SignInProps) {
  const [error, setError] = useState(refusal);
  const [isTrying, setTrying] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    document.title = 'Sign in · mstore';
    input.current?.focus();
  }, []);
  useEffect(() => setError(refusal), [refusal]);

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    // Not disabled meanwhile: that would take the focus from it.
    if (isTrying) return;
    const token = input.current?.value.trim() ?? '';
    setTrying(true);
    try {
      await tryToken(token);
      onToken(token);
    } catch (problem) {
      setError(problem as ApiError);
      input.current?.focus();
    } finally {
      setTrying(false);
    }
  };
  return (
    <main class="alone">
      <form class="sign-in" onSubmit={submit} aria-labelledby="sign-in">
        <Logo />
        <h1 id="sign-in">Sign in to mstore</h1>
        {name !== undefined && error === undefined && (
          <p class="problem">The token {name} may not read: enter another one.</p>
        )}
        {error !== undefined && <Problem error={error} />}
        <label>
          Token
          <input
            ref={input}
            type="password"
            autocomplete="off"
            spellcheck={false}
            required
            maxLength={4096}
            aria-describedby="sign-in-help"
          />
        </label>
        <p id="sign-in-help" class="quiet">
          It begins with “mst_”. Who runs the server makes one with “mstore token create”. It is
          kept in this tab alone, until you sign out or close it.
        </p>
        <p class="actions">
          <button type="submit" class="primary" aria-disabled={isTrying}>
            {isTrying ? 'Trying…' : 'Sign in'}
          </button>
          {onCancel !== undefined && (
            <button type="button" onClick={onCancel}>
              Cancel
            </button>
          )}
        </p>
      </form>
    </main>
  );
}

/** @throws ApiError where a token does not let anybody in who may read */
async function tryToken(token: string): Promise<void> {
  // What no header can hold is no token.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new ApiError(401, 'bad-token', 'This is no token: it has characters that none has');
  }
  const ignored = { onRefused: () => {}, onReach: () => {} };
  const { scopes, name } = await new Api(token, ignored).whoAmI();
  if (scopes.includes('read')) return;
  throw new ApiError(403, 'no-scope', `The token ${name} may not read`, 'Enter another one');
}
