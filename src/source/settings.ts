import { MstoreError } from '../base/errors.ts';

/** A variable of the environment without the spaces around it; undefined where nothing is said. */
export function setting(text: string | undefined): string | undefined {
  return text === undefined || text.trim() === '' ? undefined : text.trim();
}

/**
 * Reads the address of a service: no slash at the end, nothing behind the path.
 * @param fault says what it is not, and how to write it
 * @throws MstoreError `usage`
 */
export function serviceAddress(
  text: string,
  fault: { readonly what: string; readonly hint: string },
): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:';
  const isPlain = url?.username === '' && url.password === '' && url.search === '';
  if (url === undefined || !isWeb || !isPlain) {
    throw new MstoreError('usage', fault.what, { hint: fault.hint });
  }
  url.pathname = url.pathname.replace(/\/+$/, '');
  url.hash = '';
  return url;
}

/** Tells whether a token can be sent in a header. */
export function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}
