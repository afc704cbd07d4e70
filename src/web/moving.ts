import type { EnvironmentsAnswer, MoveResult } from './wire.ts';

/** What moves an environment. */
export type MoveAction = 'deploy' | 'promote' | 'rollback';

/** What the dialog is opened for. */
export interface MoveAsked {
  readonly action: MoveAction;
  readonly environment?: string;
  readonly version?: string;
  readonly from?: string;
  readonly to?: string;
}

/** What is filled in. */
export interface Draft {
  /** The version of a deployment, or of a rollback; empty for the one before. */
  readonly version: string;
  /** Where it goes. */
  readonly environment: string;
  /** Where a promotion takes it from. */
  readonly from: string;
  readonly reason: string;
  readonly force: boolean;
}

/** Fills in what can be known: a deployment goes to the first environment of the lifecycle. */
export function firstDraft(asked: MoveAsked, places: EnvironmentsAnswer): Draft {
  const known = environmentNames(places);
  const { action, version = '', from = '', environment, to } = asked;
  const place = action === 'promote' ? to : (environment ?? known[0]);
  return { version, environment: place ?? '', from, reason: '', force: false };
}

/** Lists the environments of a model: those of the lifecycle in its order, then others. */
export function environmentNames({ lifecycle, environments }: EnvironmentsAnswer): string[] {
  return [...new Set([...lifecycle, ...environments.map(({ environment }) => environment)])];
}

/** Makes the body of the request. */
export function bodyOf(action: MoveAction, draft: Draft, dryRun: boolean): object {
  const { version, environment, from } = draft;
  const reason = draft.reason.trim();
  const common = {
    ...(reason === '' ? {} : { reason }),
    ...(dryRun ? { dryRun } : {}),
    ...(draft.force && action !== 'rollback' ? { force: true } : {}),
  };
  if (action === 'deploy') return { version, environment, ...common };
  if (action === 'promote') return { from, to: environment, ...common };
  return { environment, ...(version === '' ? {} : { to: version }), ...common };
}

/** Names the version that was seen: what one goes back to by itself may be another one by then. */
export function pinned(action: MoveAction, draft: Draft, seen: MoveResult): Draft {
  return action === 'promote' ? draft : { ...draft, version: seen.version };
}

/** Rules that may be passed by force, with a reason. */
const rules = new Set(['gate-refused', 'step-skipped', 'version-retired', 'bad-metrics']);

/** Tells whether what was refused may be done all the same. */
export function mayOverrule(
  action: MoveAction,
  error: { readonly code: string } | undefined,
): boolean {
  return action !== 'rollback' && error !== undefined && rules.has(error.code);
}
