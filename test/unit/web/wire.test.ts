import { describe, expect, it } from 'vitest';
import type { MoveResult } from '../../../src/flow/environments.ts';
import type { ModelHealth } from '../../../src/flow/health.ts';
import type { LiveEnvironment } from '../../../src/flow/live-environments.ts';
import type { ModelHistory, VersionDetails } from '../../../src/flow/registry-history.ts';
import type { ModelSummary, VersionSummary } from '../../../src/flow/registry-read.ts';
import type { VersionComparison } from '../../../src/flow/version-comparison.ts';
import type { VersionSharing } from '../../../src/flow/version-sharing.ts';
import type * as wire from '../../../src/web/wire.ts';

/** Nothing where each of what the flows answer can be read as the page does; else the name of one that cannot. */
type Unreadable<Pairs extends Record<string, readonly [unknown, unknown]>> = {
  [Name in keyof Pairs]: Pairs[Name][0] extends Pairs[Name][1] ? never : Name;
}[keyof Pairs];

type Answers = {
  model: [ModelSummary, wire.ModelSummary];
  version: [VersionSummary, wire.VersionSummary];
  environment: [LiveEnvironment, wire.LiveEnvironment];
  history: [ModelHistory, wire.HistoryAnswer];
  details: [VersionDetails, wire.VersionDetails];
  health: [ModelHealth, wire.Health];
  comparison: [VersionComparison, wire.Comparison];
  sharing: [VersionSharing, wire.Sharing];
  move: [MoveResult, wire.MoveResult];
};

describe('what the page reads', () => {
  it('is what the flows answer, as the compiler sees it', () => {
    const none: [Unreadable<Answers>] extends [never] ? true : Unreadable<Answers> = true;
    expect(none).toBe(true);
  });
});
