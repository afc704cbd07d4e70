import type { CrashCommand } from './crash-commands.ts';
import type { CrashLanes, CrashOptions, TrialReport } from './crash-lanes.ts';
import { tryFaults } from './crash-trials.ts';
import { tryPowerCuts, tryPowerCutsAfterKills } from './power-cuts.ts';

/** The kinds of trials, as they are named in the table. */
const kinds = {
  faults: tryFaults,
  cuts: tryPowerCuts,
  'cuts after kills': tryPowerCutsAfterKills,
} as const;

/** What came of all trials. */
export interface CrashSummary {
  readonly table: string;
  readonly trials: number;
  /** All that could be tried. */
  readonly points: number;
  readonly failures: readonly string[];
}

/** Points of a command in one round: so that a run that is ended by time has tried each command alike. */
const pointsOfRound = 24;

/**
 * Tries all points of all commands in rounds, until the time is over.
 * @param options `pointsMax` for each command and kind
 */
export async function runRounds(
  lanes: CrashLanes,
  commands: readonly CrashCommand[],
  options: CrashOptions,
): Promise<CrashSummary> {
  const rows = new Map(commands.map((command) => [command, new Map<string, TrialReport>()]));
  for (let skip = 0, more = true; more; skip += pointsOfRound) {
    more = false;
    for (const [command, row] of rows) {
      for (const [kind, trial] of Object.entries(kinds)) {
        const before = row.get(kind);
        const wanted = Math.min(options.pointsMax ?? Infinity, before?.points ?? Infinity);
        if (skip >= wanted || options.goOn?.() === false) continue;
        const pointsMax = Math.min(pointsOfRound, wanted - skip);
        const report = await trial(lanes, command, { ...options, skip, pointsMax });
        row.set(kind, before === undefined ? report : join(before, report));
        more = true;
      }
    }
  }
  const reports = [...rows.values()].flatMap((row) => [...row.values()]);
  const failures = reports.flatMap((report) => report.failures);
  return {
    table: tableOf(rows),
    trials: reports.reduce((sum, each) => sum + tried(each), 0),
    points: reports.reduce((sum, each) => sum + each.points, 0),
    failures,
  };
}

function join(one: TrialReport, other: TrialReport): TrialReport {
  const outcomes = { ...one.outcomes };
  for (const [name, count] of Object.entries(other.outcomes))
    outcomes[name] = (outcomes[name] ?? 0) + count;
  return { ...one, outcomes, failures: [...one.failures, ...other.failures] };
}

function tried({ outcomes }: TrialReport): number {
  return Object.values(outcomes).reduce((sum, count) => sum + count, 0);
}

function tableOf(rows: ReadonlyMap<CrashCommand, ReadonlyMap<string, TrialReport>>): string {
  const lines = [
    '| command | calls | faults | killed | refused | unharmed | power cuts | after kills |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
  ];
  for (const [{ name }, row] of rows) {
    const faults = row.get('faults');
    const { killed, refused, unharmed } = faults?.outcomes ?? {};
    const cells = [faults?.calls, share(faults), killed, refused, unharmed];
    const power = [share(row.get('cuts')), share(row.get('cuts after kills'))];
    lines.push(`| ${[name, ...cells, ...power].map((cell) => cell ?? 0).join(' | ')} |`);
  }
  return lines.join('\n');
}

/** How many points were tried, and of how many where that is not all. */
function share(report: TrialReport | undefined): string {
  if (report === undefined) return '0';
  const count = tried(report);
  return count === report.points ? String(count) : `${count} of ${report.points}`;
}
