import { faultsAt, type InjectedResult } from './crash-calls.ts';
import {
  check,
  checkAgain,
  checkFiles,
  checkStoresMidway,
  checkTemps,
  checkVersions,
  checkView,
} from './crash-checks.ts';
import type { CrashCommand } from './crash-commands.ts';
import {
  type CrashLanes,
  type CrashOptions,
  describePoint,
  type Point,
  type Prepared,
  runAgain,
  type TrialReport,
} from './crash-lanes.ts';
import { localStore, type World, type WorldView } from './crash-world.ts';

/**
 * Runs a command with a fault at its calls, at each if the options do not say less; after each fault it
 * looks at what is left, runs the command again, and looks at what came of it.
 */
export async function tryFaults(
  lanes: CrashLanes,
  command: CrashCommand,
  options: CrashOptions = {},
): Promise<TrialReport> {
  const prepared = await lanes.prepare(command);
  const points = prepared.calls.flatMap((call) => faultsAt(call).map((fault) => ({ call, fault })));
  return lanes.each(prepared, points, options, {
    nameOf: ({ call, fault }) => `${command.name} ${call.number} ${fault}`,
    describe: describePoint,
    work: (point, world) => tryFault(lanes, prepared, world, point),
  });
}

async function tryFault(
  lanes: CrashLanes,
  prepared: Prepared,
  world: World,
  point: Point,
): Promise<'killed' | 'refused' | 'unharmed'> {
  const { command } = prepared;
  world.reset(prepared.image);
  const outcome = outcomeOf(await lanes.run(command, world, { point }), point);
  await checkStoresMidway(world, prepared);
  const mayBeGone = (name: string, now: string | undefined): boolean =>
    now === undefined && (command.mayBeGone?.test(name) ?? false);
  checkFiles(world, prepared, mayBeGone);
  if (outcome === 'unharmed') checkDone(prepared, await world.view());
  // Reading heals what it can, so that every other time nobody reads before the command runs again.
  else if (point.call.number % 2 === 0 && command.heals !== localStore)
    await checkVersions(world, command);
  await runAgain(command, world);
  await checkAgain(world, prepared);
  checkTemps(world);
  return outcome;
}

/** The command said that it was done, though a call failed. */
function checkDone({ command, before, after }: Prepared, view: WorldView): void {
  const here = localStore;
  const lags = command.followsLater && view.registries[here] === before.registries[here];
  const registries = { ...after.registries, [here]: before.registries[here] as string };
  const must = lags ? { ...after, registries } : after;
  checkView(without(view, command), without(must, command), command);
}

/** A view without the files that may stay until the next run. */
function without(view: WorldView, { mayStay }: CrashCommand): WorldView {
  if (mayStay === undefined) return view;
  const files = Object.entries(view.files).filter(([name]) => !mayStay.test(name));
  return { ...view, files: Object.fromEntries(files) };
}

/** What a failure of this machine or of a directory remote is called. */
const systemCodes = [
  'io',
  'no-space',
  'permission-denied',
  'remote-full',
  'remote-refused',
  'remote-unreachable',
];

function outcomeOf(
  { code, stdout, stderr, calls }: InjectedResult,
  { call, fault }: Point,
): 'killed' | 'unharmed' | 'refused' {
  if (fault === 'kill' || fault === 'torn') {
    if (code === null) return 'killed';
    const made = calls.filter(({ number }) => number > 0).length;
    check(code === 0 && made < call.number, `it was not killed, and ended with ${code}`);
    return 'unharmed';
  }
  if (code === 0) return 'unharmed';
  check(code !== null && stdout !== '', `it ended with ${code}: ${stderr.slice(0, 500)}`);
  const { error, paths, findings } = JSON.parse(stdout) as {
    error?: { code: string; message: string };
    /** What was done for each path, or their number. */
    paths?: ReadonlyArray<{ error?: { code: string } }> | number;
    findings?: unknown[];
  };
  // What cannot be read is among what a look at a place finds.
  if (code === 5 && findings?.length) return 'refused';
  const codes = [
    error?.code,
    ...(typeof paths === 'object' ? paths : []).map((each) => each.error?.code),
  ];
  const told = codes.filter((each) => each !== undefined);
  const known = told.length > 0 && told.every((each) => systemCodes.includes(each));
  check(known, `it ended with ${code} and said ${error?.code}: ${error?.message}`);
  return 'refused';
}
