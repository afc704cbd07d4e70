import type { EnvironmentEntry } from '../registry/entry.ts';
import { rollbackVersions } from '../registry/timeline.ts';
import type { MonitorRules } from './rules.ts';

/** Where an environment may go back to by itself, or why it may not. */
export type WayBack =
  | { readonly kind: 'open'; readonly versions: readonly string[] }
  | { readonly kind: 'blocked'; readonly why: BlockedBy; readonly text: string };

/** What keeps an environment from going back by itself. */
export type BlockedBy = 'cooldown' | 'too-often' | 'nowhere';

const dayMs = 24 * 60 * 60 * 1000;

/** What counts of an entry of the history. */
export interface PastEntry extends Pick<EnvironmentEntry, 'version' | 'action' | 'at'> {
  /** Whether a monitor wrote it. */
  readonly automatic: boolean;
}

/** Takes of an entry what counts. */
export function pastEntry({ version, action, at, evidence }: EnvironmentEntry): PastEntry {
  return { version, action, at, automatic: evidence !== undefined };
}

/**
 * Lists the versions that an environment may go back to by itself, the nearest first: those that a person could go back
 * to, but for those that it was already brought back from, by whomever.
 */
export function waysBack(history: readonly PastEntry[]): string[] {
  const left = new Set(
    history.flatMap(({ action }, i) => {
      const before = history[i - 1];
      return action === 'rollback' && before !== undefined ? [before.version] : [];
    }),
  );
  return rollbackVersions(history, Number.MAX_SAFE_INTEGER).filter((version) => !left.has(version));
}

/**
 * Finds out whether an environment may go back by itself now. The history alone decides, so that all monitors say the same, however many
 * there are and whenever they were started.
 * @param history all entries, the first one first
 * @param isUsable whether a version was not taken out of use
 * @param now milliseconds since 1970-01-01 UTC
 */
export function wayBack(
  history: readonly PastEntry[],
  isUsable: (version: string) => boolean,
  { cooldownSeconds, rollbacksPerDay }: MonitorRules,
  now: number,
): WayBack {
  const moments = history.filter(({ automatic }) => automatic).map(({ at }) => Date.parse(at));
  const last = moments.at(-1);
  if (last !== undefined && now < last + cooldownSeconds * 1000) {
    const until = new Date(last + cooldownSeconds * 1000).toISOString();
    const text = `it went back by itself at ${new Date(last).toISOString()}, and does not again before ${until}`;
    return { kind: 'blocked', why: 'cooldown', text };
  }
  const today = moments.filter((at) => at > now - dayMs).length;
  if (today >= rollbacksPerDay) {
    const text = `it went back by itself ${today} times within a day, which is all that it may`;
    return { kind: 'blocked', why: 'too-often', text };
  }
  const versions = waysBack(history).filter(isUsable);
  if (versions.length > 0) return { kind: 'open', versions };
  const text = 'there is no version to go back to that it was not already brought back from';
  return { kind: 'blocked', why: 'nowhere', text };
}
