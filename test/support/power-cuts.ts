import * as fs from 'node:fs';
import { type Call, faultsAt } from './crash-calls.ts';
import { checkFiles, checkVersions, checkView } from './crash-checks.ts';
import type { CrashCommand } from './crash-commands.ts';
import {
  type CrashLanes,
  type CrashOptions,
  describeCall,
  describePoint,
  type Point,
  runAgain,
  type TrialReport,
  type Undisturbed,
} from './crash-lanes.ts';
import type { World, WorldView } from './crash-world.ts';
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

/** The calls of a run with the bytes that it wrote. */
interface Recording {
  readonly calls: readonly Call[];
  readonly data: Buffer;
}

async function record(
  lanes: CrashLanes,
  command: CrashCommand,
  world: World,
  point?: Point,
): Promise<Recording> {
  const data = `${world.folder}.data`;
  fs.rmSync(data, { force: true });
  const { calls } = await lanes.run(command, world, { data, ...(point && { point }) });
  return { calls, data: fs.readFileSync(data) };
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
  const undisturbed = await lanes.prepare(command);
  const { world } = lanes;
  world.reset();
  const recording = await record(lanes, command, world);
  const stamps = world.stamps();
  const folder = world.folder;
  const seed = ({ calls, loss }: Cut): string => `${command.name} ${calls} ${loss}`;
  const { calls } = recording;
  return lanes.each({ command: command.name, calls }, cutsOf(calls), options, {
    seed,
    describe(cut) {
      const last = calls[cut.calls - 1];
      return `power cut after ${last ? describeCall(last) : 'nothing'}, ${cut.loss}`;
    },
    async work(cut, at) {
      const disk = new PowerDisk(at.template, folder);
      for (const call of calls.slice(0, cut.calls)) disk.apply(call, recording.data);
      at.afterPowerCut(disk, lossNamed(cut.loss)(seed(cut)), stamps);
      if (cut.calls === calls.length) await checkDurable(command, at, undisturbed);
      await checkAfterCut(command, at, undisturbed);
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
  const undisturbed = await lanes.prepare(command);
  const points = undisturbed.calls
    .filter((call) => faultsAt(call).includes('kill'))
    .map((call): Point => ({ call, fault: 'kill' }));
  return lanes.each({ command: command.name, calls: undisturbed.calls }, points, options, {
    seed: ({ call }) => `${command.name} ${call.number}`,
    describe: describePoint,
    async work(point, world) {
      world.reset();
      const disk = new PowerDisk(world.template, world.folder);
      for (const at of [point, undefined]) {
        const { calls, data } = await record(lanes, command, world, at);
        for (const call of calls) disk.apply(call, data);
        disk.endProcess();
      }
      const stamps = world.stamps();
      world.afterPowerCut(disk, lossNamed('all that was not flushed is lost')(''), stamps);
      await checkDurable(command, world, undisturbed);
      await checkAfterCut(command, world, undisturbed);
      return 'cut';
    },
  });
}

/** What a command returned for is there. */
async function checkDurable(
  { notFlushed }: CrashCommand,
  world: World,
  { after }: Undisturbed,
): Promise<void> {
  const view = await world.view();
  checkView(promised(view, notFlushed), promised(after, notFlushed));
}

/** What of a view is promised to be durable. */
function promised(view: WorldView, notFlushed: RegExp | undefined): WorldView {
  if (notFlushed === undefined) return view;
  const files = Object.entries(view.files).filter(([name]) => !notFlushed.test(name));
  return { ...view, files: Object.fromEntries(files), states: {} };
}

async function checkAfterCut(
  command: CrashCommand,
  world: World,
  undisturbed: Undisturbed,
): Promise<void> {
  const { mayBeGone, notFlushed } = command;
  await world.checkStores(command);
  checkFiles(
    world,
    undisturbed,
    (name, now) =>
      (notFlushed?.test(name) ?? false) || (now === undefined && (mayBeGone?.test(name) ?? false)),
  );
  await world.checkPointers();
  // A file that lost its bytes may be one that its user changed: it is told, and not overwritten unasked.
  await runAgain(command, world, { mayRefuse: notFlushed !== undefined });
  await world.checkStores();
  checkView(await world.view(), undisturbed.after);
  await checkVersions(world);
}
