const key = 'mstore-token';

/** Reads the token that was entered in this tab; undefined where there is none, or nothing may be kept. */
export function storedToken(): string | undefined {
  try {
    return sessionStorage.getItem(key) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Keeps the token until the tab is closed, or takes it away. */
export function storeToken(token: string | undefined): void {
  try {
    if (token === undefined) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, token);
  } catch {
    // A browser that keeps nothing asks again after a reload.
  }
}
