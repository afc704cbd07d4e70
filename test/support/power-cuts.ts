import { type Call, faultsAt } from './crash-calls.ts';
import { checkAgain, checkFiles, checkStoresMidway, checkView } from './crash-checks.ts';
import type { CrashCommand } from './crash-commands.ts';
import {
  type CrashLanes,
  type CrashOptions,
  describeCall,
  describePoint,
  type Point,
  type Prepared,
  runAgain,
  type TrialReport,
} from './crash-lanes.ts';
import { localStore, type World, type WorldView } from './crash-world.ts';
import { noise } from './flow-scratch.ts';
import { type Loss, PowerDisk } from './power-disk.ts';

/** What a power cut may leave, from the strictest disk to one that keeps names and loses bytes. */
const losses: Readonly<Record<string, (seed: string) => Loss>> = {
  'all that was not flushed is lost': () => ({ names: () => 0, bytes: () => 'none' }),
  'names are kept, bytes are lost': () => ({ names: (count) => count, bytes: () => 'none' }),
  'names and sizes are kept, bytes are zeros': () => ({
    names: (count) => count,
    bytes: () => 'zeros',
  }),
  'some of each': byChance,
};

function lossNamed(name: string): (seed: string) => Loss {
  return losses[name] as (seed: string) => Loss;
}

function byChance(seed: string): Loss {
  const random = noise(65_536, seed);
  let at = 0;
  const below = (limit: number): number => (random[at++ % random.length] ?? 0) % limit;
  const kinds = ['none', 'half', 'zeros', 'all'] as const;
  return {
    names: (count) => below(count + 1),
    bytes: () => kinds[below(kinds.length)] as (typeof kinds)[number],
  };
}

interface Cut {
  /** Calls that were made before it. */
  readonly calls: number;
  readonly loss: string;
}

/**
 * Cuts the power at the calls of a command, at each if the options do not say less: what is left of the
 * disk is looked at, the command is run, and what comes of it is looked at.
 */
export async function tryPowerCuts(
  lanes: CrashLanes,
  command: CrashCommand,
  options: CrashOptions = {},
): Promise<TrialReport> {
  const prepared = await lanes.prepare(command);
  const { image, calls, data, stamps, folder } = prepared;
  const nameOf = (cut: Cut): string => `${command.name} ${cut.calls} ${cut.loss}`;
  return lanes.each(prepared, cutsOf(calls), options, {
    nameOf,
    describe(cut) {
      const last = calls[cut.calls - 1];
      return `power cut after ${last ? describeCall(last) : 'nothing'}, ${cut.loss}`;
    },
    async work(cut, world) {
      const disk = new PowerDisk(image.files, folder);
      for (const call of calls.slice(0, cut.calls)) disk.apply(call, data);
      const loss = lossNamed(cut.loss)(`${options.seed ?? 0} ${nameOf(cut)}`);
      world.afterPowerCut(image, { disk, loss, stamps });
      if (cut.calls === calls.length) await checkDurable(world, prepared);
      await checkAfterCut(world, prepared);
      return 'cut';
    },
  });
}

/** The cuts that differ: after what changed something or flushed it, and at the end. */
function cutsOf(calls: readonly Call[]): Cut[] {
  const changes = (call: Call): boolean =>
    call.result === 0 && /sync/.test(call.name) !== faultsAt(call).includes('kill');
  const ends = calls.flatMap((call, at) => (changes(call) ? [at + 1] : []));
  const all = [...new Set([...ends, calls.length])];
  return all.flatMap((count) => Object.keys(losses).map((loss) => ({ calls: count, loss })));
}

/**
 * Kills a command at its calls, lets the next run end, and cuts the power then: what the second run
 * returned for must be durable, whichever of the two wrote it.
 */
export async function tryPowerCutsAfterKills(
  lanes: CrashLanes,
  command: CrashCommand,
  options: CrashOptions = {},
): Promise<TrialReport> {
  const prepared = await lanes.prepare(command);
  const { image, calls: undisturbed } = prepared;
  const points = undisturbed
    .filter((call) => faultsAt(call).includes('kill'))
    .map((call): Point => ({ call, fault: 'kill' }));
  return lanes.each(prepared, points, options, {
    nameOf: ({ call }) => `${command.name} ${call.number}`,
    describe: describePoint,
    async work(point, world) {
      world.reset(image);
      const disk = new PowerDisk(image.files, world.folder);
      for (const at of [point, undefined]) {
        const { calls, data } = await lanes.record(command, world, at);
        for (const call of calls) disk.apply(call, data);
        disk.endProcess();
      }
      const loss = lossNamed('all that was not flushed is lost')('');
      world.afterPowerCut(image, { disk, loss, stamps: world.stamps() });
      await checkDurable(world, prepared);
      await checkAfterCut(world, prepared);
      return 'cut';
    },
  });
}

/** What a command returned for is there. */
async function checkDurable(world: World, { command, after }: Prepared): Promise<void> {
  const { notFlushed } = command;
  const view = await world.view();
  checkView(promised(view, notFlushed), promised(after, notFlushed), command);
}

/** What of a view is promised to be durable. */
function promised(view: WorldView, notFlushed: RegExp | undefined): WorldView {
  if (notFlushed === undefined) return view;
  const files = Object.entries(view.files).filter(([name]) => !notFlushed.test(name));
  return { ...view, files: Object.fromEntries(files), states: {} };
}

async function checkAfterCut(world: World, prepared: Prepared): Promise<void> {
  const { command } = prepared;
  const { mayBeGone, notFlushed } = command;
  await checkStoresMidway(world, prepared);
  checkFiles(
    world,
    prepared,
    (name, now) =>
      (notFlushed?.test(name) ?? false) || (now === undefined && (mayBeGone?.test(name) ?? false)),
  );
  // What the store lacks by its damage, or since it was evicted, comes with the next run.
  if (command.heals !== localStore && !command.evicts) await world.checkPointers();
  // A file that lost its bytes may be one that its user changed: it is told, and not overwritten unasked.
  await runAgain(command, world, { mayRefuse: notFlushed !== undefined });
  await checkAgain(world, prepared);
}
