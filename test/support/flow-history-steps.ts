import * as fs from 'node:fs';
import * as path from 'node:path';
import fc from 'fast-check';
import {
  breakOff,
  checkoutSnapshot,
  checkoutSnapshotTo,
  crash,
  fetchSnapshot,
  loseStore,
  type Place,
  pushSnapshot,
  snapshot,
  type World,
} from './flow-history.ts';
import type { Project } from './flow-project.ts';
import { noise } from './flow-scratch.ts';

/** Paths that files, links and directories change places on. */
const paths = ['f', 'f/x', 'm/a', 'm/b', 'm/d', 'm/d/x', 'm/d/y/z', 'm/e', 'm/e/x'] as const;
/** Links with targets inside; what they lead to may be missing. */
const links = [
  ['m/l', 'a'],
  ['m/b', 'a'],
  ['m/d/l', '../a'],
  ['m/e', 'd'],
] as const;
/** Around the limits of a chunk, and several of them. */
const sizes = [0, 1, 1_000, 131_072, 131_073, 600_000, 1_500_000];

const anyPath = fc.constantFrom(...paths);
const number = fc.nat(9);

/** What can happen in a history, with the numbers that say where. */
export type Step =
  | { do: 'write'; at: string; size: number; seed: number }
  | { do: 'edit'; at: string; head: boolean; seed: number }
  | { do: 'remove'; at: string }
  | { do: 'rename'; at: string; to: string }
  | { do: 'chmod'; at: string }
  | { do: 'link'; at: string; target: string }
  | { do: 'mkdir'; at: string }
  | { do: 'snapshot' | 'crash' | 'lose' }
  | { do: 'break'; after: number }
  | { do: 'push' | 'fetch' | 'to'; which: number }
  | { do: 'checkout'; which: number; force: boolean };

/** Draws histories: each step happens in one of two workspaces. */
export function histories(lengthMax: number): fc.Arbitrary<Array<[place: number, step: Step]>> {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('write' as const),
        at: anyPath,
        size: fc.constantFrom(...sizes),
        seed: number,
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('edit' as const),
        at: anyPath,
        head: fc.boolean(),
        seed: number,
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), at: anyPath }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('rename' as const), at: anyPath, to: anyPath }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('chmod' as const), at: anyPath }) },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(...links)
        .map(([at, target]) => ({ do: 'link' as const, at, target })),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('mkdir' as const), at: anyPath }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('snapshot' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('crash' as const, 'lose' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('break' as const), after: number }) },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constantFrom('push' as const, 'fetch' as const, 'to' as const),
        which: number,
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('checkout' as const),
        which: number,
        force: fc.boolean(),
      }),
    },
  );
  return fc.array(fc.tuple(fc.nat(1), step), { minLength: 5, maxLength: lengthMax, size: 'max' });
}

/** Lets one step happen. */
export async function take(world: World, placeNumber: number, step: Step): Promise<void> {
  const place = world.places[placeNumber] as Place;
  if ('at' in step) return change(place.project, step);
  if (step.do === 'snapshot') return snapshot(world, place);
  if (step.do === 'crash') return crash(place);
  if (step.do === 'lose') return loseStore(place);
  if (step.do === 'break') return breakOff(place, step.after);
  if (!('which' in step) || world.snapshots.length === 0) return;
  const which = step.which % world.snapshots.length;
  if (step.do === 'push') await pushSnapshot(world, place, which);
  else if (step.do === 'fetch') await fetchSnapshot(world, place, which);
  else if (step.do === 'to') await checkoutSnapshotTo(world, place, which);
  else if (step.do === 'checkout')
    await checkoutSnapshot(world, place, which, { force: step.force });
}

function change(project: Project, step: Extract<Step, { at: string }>): void {
  const full = project.at(step.at);
  const stat = lookAt(full);
  if (step.do === 'write') {
    makeRoom(project, step.at);
    fs.writeFileSync(full, noise(step.size, step.seed));
  } else if (step.do === 'edit' && stat?.isFile()) {
    const bytes = fs.readFileSync(full);
    const edit = noise(20, `edit ${step.seed}`);
    if (step.head) fs.writeFileSync(full, Buffer.concat([edit, bytes]));
    else fs.writeFileSync(full, bytes.fill(edit, Math.floor(bytes.length / 2)));
  } else if (step.do === 'remove') {
    if (stat !== undefined) fs.rmSync(full, { recursive: true });
  } else if (step.do === 'rename' && stat?.isFile() && step.to !== step.at) {
    if (step.to.startsWith(`${step.at}/`)) return;
    makeRoom(project, step.to);
    if (fs.existsSync(full)) fs.renameSync(full, project.at(step.to));
  } else if (step.do === 'chmod' && stat?.isFile()) {
    fs.chmodSync(full, (stat.mode & 0o100) === 0 ? 0o755 : 0o644);
  } else if (step.do === 'link') {
    makeRoom(project, step.at);
    fs.symlinkSync(step.target, full);
  } else if (step.do === 'mkdir') {
    makeRoom(project, step.at);
    fs.mkdirSync(full);
  }
}

/** Looks at a path whose parents may be no directories. */
function lookAt(full: string): fs.Stats | undefined {
  try {
    return fs.lstatSync(full, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** Takes away what stands at a path, or above it and is no directory. */
function makeRoom(project: Project, at: string): void {
  const parts = at.split('/');
  for (let depth = 1; depth < parts.length; depth++) {
    const above = project.at(parts.slice(0, depth).join('/'));
    const stat = fs.lstatSync(above, { throwIfNoEntry: false });
    if (stat !== undefined && !stat.isDirectory()) fs.rmSync(above);
  }
  fs.mkdirSync(path.dirname(project.at(at)), { recursive: true });
  fs.rmSync(project.at(at), { recursive: true, force: true });
}
