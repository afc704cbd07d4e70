import { isDeepStrictEqual } from 'node:util';
import type { CrashCommand } from './crash-commands.ts';
import type { Prepared } from './crash-lanes.ts';
import { originRemote, type World, type WorldView } from './crash-world.ts';

/** Throws unless something holds. */
export function check(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}

/**
 * Checks that every file is what it was, or what the command makes of it.
 * @param except files of which this is not asked
 */
export function checkFiles(
  world: World,
  { before, after }: { readonly before: WorldView; readonly after: WorldView },
  except: (name: string, now: string | undefined) => boolean,
): void {
  world.checkLive();
  const now = world.files();
  for (const name of Object.keys({ ...before.files, ...after.files, ...now })) {
    if (now[name] === before.files[name] || now[name] === after.files[name]) continue;
    if (except(name, now[name])) continue;
    throw new Error(`${name} is neither the old nor the new file: ${now[name]}`);
  }
}

/** Checks that a world looks as it must after a command. */
export function checkView(now: WorldView, must: WorldView, { marks = false }: CrashCommand): void {
  const [view, expected] = marks ? [withoutRemote(now), withoutRemote(must)] : [now, must];
  for (const part of Object.keys(expected) as Array<keyof WorldView>) {
    if (isDeepStrictEqual(view[part], expected[part])) continue;
    const differs = differences(view[part], expected[part]).join('; ');
    throw new Error(`${part} differ from those of an undisturbed run: ${differs}`);
  }
}

function withoutRemote(view: WorldView): WorldView {
  const rest = (part: WorldView['chunks']): WorldView['chunks'] =>
    Object.fromEntries(Object.entries(part).filter(([store]) => store !== originRemote));
  const { chunks, recipes, roots } = view;
  return { ...view, chunks: rest(chunks), recipes: rest(recipes), roots: rest(roots) };
}

/** Checks the stores when a command did not come to its end. */
export async function checkStoresMidway(
  world: World,
  { command: { heals, cleansUp, evicts }, before }: Pick<Prepared, 'command' | 'before'>,
): Promise<void> {
  const damaged = heals === undefined ? undefined : { store: heals, was: before };
  await world.checkStores({ cleansUp, evicts, damaged });
}

/** Checks a world when a command has come to its end after all. */
export async function checkAgain(
  world: World,
  { command, after }: Pick<Prepared, 'command' | 'after'>,
): Promise<void> {
  await world.checkStores({ evicts: command.evicts });
  checkView(await world.view(), after, command);
  await checkVersions(world, command);
}

/** Checks that every version is there, byte for byte; what the command evicts is fetched. */
export async function checkVersions(world: World, { evicts }: CrashCommand): Promise<void> {
  for (const [version, state] of world.versions) {
    const is = await world.checkedOut(version, { fetches: evicts ?? false });
    check(isDeepStrictEqual(is, state), `${version} is not what it was: ${differences(is, state)}`);
  }
}

function differences(
  is: Readonly<Record<string, unknown>>,
  expected: Readonly<Record<string, unknown>>,
): string[] {
  return Object.keys({ ...is, ...expected })
    .filter((name) => !isDeepStrictEqual(is[name], expected[name]))
    .map((name) => `${name} is ${JSON.stringify(is[name])}, not ${JSON.stringify(expected[name])}`);
}

/** Checks that no temporary file and no lock is left. */
export function checkTemps(world: World): void {
  const temps = world.temps();
  check(temps.length === 0, `temporary files are left: ${temps}`);
}
