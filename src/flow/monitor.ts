import { isMstoreError } from '../base/errors.ts';
import type { LiveEntry } from '../monitor/environment-monitor.ts';
import { type Breach, type Measured, reasonOf } from '../monitor/judge.ts';
import type { MonitorRules } from '../monitor/rules.ts';
import {
  type BlockedBy,
  type PastEntry,
  pastEntry,
  type WayBack,
  wayBack,
  waysBack,
} from '../monitor/way-back.ts';
import type { Evidence } from '../registry/entry.ts';
import type { Registry } from '../registry/registry.ts';
import { rollback } from './environments.ts';
import { modelHealth } from './health.ts';
import { remoteRegistry } from './registry.ts';
import type { ChosenRemote } from './remotes.ts';
import type { Workspace } from './workspace.ts';

/** What came of rules that were broken. */
export type MonitorAct =
  /** The environment went back. */
  | { readonly act: 'moved'; readonly to: string; readonly number: number }
  /** It would have, if the rules did not only watch. */
  | { readonly act: 'would-move'; readonly to: string }
  /** Somebody else has moved it since. */
  | { readonly act: 'overtaken' }
  | { readonly act: 'blocked'; readonly why: BlockedBy | 'unavailable'; readonly text: string };

/** What is to be brought back, and why. */
export interface BadVersion {
  readonly model: string;
  readonly environment: string;
  /** The entry that was judged: whatever comes behind it was somebody else's decision. */
  readonly live: LiveEntry;
  readonly rules: MonitorRules;
  readonly measured: Measured;
  readonly breaches: readonly [Breach, ...Breach[]];
}

/** Versions that are looked at for one that can be had and loaded. */
const looksMax = 5;

/** Reads what is live in an environment, with the version that one would go back to; undefined where nothing is. */
export async function readLive(
  registry: Registry,
  model: string,
  environment: string,
): Promise<{ readonly entry: LiveEntry; readonly history: readonly PastEntry[] } | undefined> {
  const history = await registry.history(model, environment);
  const last = history.at(-1);
  if (last === undefined) return undefined;
  const { version, number, at } = last.value;
  const past = history.map(({ value }) => pastEntry(value));
  const [before] = waysBack(past);
  const entry = { version, number, sha256: last.sha256, sinceMs: Date.parse(at), before };
  return { entry, history: past };
}

/**
 * Brings an environment back to the nearest version that it may go back to by itself, that can be had and that can be
 * loaded: once, however many monitors want to, as the entry that was judged must be the last one.
 * @param by who stands in the history
 * @throws MstoreError `remote-unreachable` and the like
 */
export async function goBack(
  workspace: Workspace,
  bad: BadVersion,
  {
    remote,
    by,
    signal,
  }: {
    readonly remote: ChosenRemote;
    readonly by: string;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<MonitorAct> {
  const { model, environment, live, rules } = bad;
  const registry = remoteRegistry(remote, { signal });
  const history = await registry.history(model, environment);
  if (history.at(-1)?.sha256 !== live.sha256) return { act: 'overtaken' };
  const states = await registry.states(await registry.namesOf(model));
  const isUsable = (version: string) =>
    !['archived', 'deleted'].includes(states.get(version) ?? 'active');
  const past = history.map(({ value }) => pastEntry(value));
  const way = wayBack(past, isUsable, rules, workspace.surroundings.clock.now());
  if (way.kind === 'blocked') return { act: 'blocked', why: way.why, text: way.text };
  const to = await firstHealthy(workspace, registry, way, { model, remote, signal });
  if (to === undefined) {
    const text = `none of ${way.versions.slice(0, looksMax).join(', ')} can be had and loaded`;
    return { act: 'blocked', why: 'unavailable', text };
  }
  if (rules.mode === 'watch') return { act: 'would-move', to };
  try {
    const { number } = await rollback(
      workspace,
      { model, environment, to },
      {
        remote,
        by,
        signal,
        expected: live.sha256,
        reason: reasonOf(bad.breaches),
        evidence: evidenceOf(bad),
      },
    );
    return number === undefined ? { act: 'overtaken' } : { act: 'moved', to, number };
  } catch (error) {
    if (isMstoreError(error, 'lost-race')) return { act: 'overtaken' };
    throw error;
  }
}

async function firstHealthy(
  workspace: Workspace,
  registry: Registry,
  { versions }: Extract<WayBack, { kind: 'open' }>,
  {
    model,
    remote,
    signal,
  }: { model: string; remote: ChosenRemote; signal: AbortSignal | undefined },
): Promise<string | undefined> {
  for (const selector of versions.slice(0, looksMax)) {
    const remotes = async () => [remote];
    const { status } = await modelHealth(workspace, registry, { model, selector, remotes, signal });
    if (status !== 'unavailable') return selector;
  }
  return undefined;
}

/** What the history keeps of what was measured. */
function evidenceOf({ live, rules, measured, breaches }: BadVersion): Evidence {
  const [{ rule, value, limit }] = breaches;
  return {
    rule,
    value,
    limit,
    measured: { ...measured },
    ...(live.before === undefined ? {} : { compared_with: live.before }),
    window_seconds: rules.windowSeconds,
  };
}
