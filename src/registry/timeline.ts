import type { EnvironmentEntry } from './entry.ts';

/** What of an entry counts for the way back. */
type Step = Pick<EnvironmentEntry, 'version' | 'action'>;

/**
 * Replays the history of an environment as a stack: a deployment puts its version on top, going back takes
 * off what lies above the version that was gone back to. So what is below the top is what one can go
 * back to, and going back twice leads to the version before, not forth again.
 * @param history all entries, the first one first
 * @returns entries that made a version live and were not taken back, what is live last
 */
export function liveStack<E extends Step>(history: readonly E[]): E[] {
  const stack: E[] = [];
  for (const entry of history) {
    if (entry.action === 'rollback') {
      const at = stack.findLastIndex(({ version }) => version === entry.version);
      if (at >= 0) stack.length = at;
    }
    if (stack.at(-1)?.version === entry.version) stack.pop();
    stack.push(entry);
  }
  return stack;
}

/**
 * Lists the versions that an environment may go back to, the nearest first.
 * @param window how many of them count
 */
export function rollbackVersions(history: readonly Step[], window: number): string[] {
  const stack = liveStack(history);
  const live = stack.pop()?.version;
  const names = stack.reverse().map(({ version }) => version);
  return [...new Set(names)].filter((version) => version !== live).slice(0, window);
}

/**
 * Finds what was live at a time, by the clocks of the hosts that wrote the entries.
 * @param at milliseconds since 1970-01-01 UTC
 */
export function liveAt(
  history: readonly EnvironmentEntry[],
  at: number,
): EnvironmentEntry | undefined {
  return history.findLast((entry) => Date.parse(entry.at) <= at);
}
