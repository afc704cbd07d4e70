import * as fs from 'node:fs';
import * as path from 'node:path';

/** What clients asked a server for, as interop saw it: by client, and by what it was told to do. */
export type RecordedRequests = Readonly<
  Record<string, Readonly<Record<string, readonly string[]>>>
>;

const file = path.resolve(import.meta.dirname, '../fixtures/hub-clients/requests.json');

/** Reads what was recorded. */
export function recordedRequests(): RecordedRequests {
  return JSON.parse(fs.readFileSync(file, 'utf8')) as RecordedRequests;
}

/**
 * Reads the requests out of the log of a server: method, path and status of each, sorted, as clients ask for several things at
 * once. Commits are named by their versions.
 */
export function requestsOf(
  log: readonly string[],
  { first, second }: { readonly first: string; readonly second: string },
): string[] {
  const lines = log.map((line) => JSON.parse(line) as Record<string, string | undefined>);
  const told = lines.flatMap(({ msg, method, url = '', status }) => {
    // Each program asks once which assistant runs it, and goes on whatever the answer is.
    const counts = msg === 'request' && url !== '/api/agent-harnesses';
    return counts ? [`${method} ${url} ${status}`] : [];
  });
  const named = told.map((one) => one.replaceAll(first, '{first}').replaceAll(second, '{second}'));
  return named.sort();
}
