import { isDeepStrictEqual } from 'node:util';
import type { World, WorldView } from './crash-world.ts';

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
  const now = world.files();
  for (const name of Object.keys({ ...before.files, ...after.files, ...now })) {
    if (now[name] === before.files[name] || now[name] === after.files[name]) continue;
    if (except(name, now[name])) continue;
    throw new Error(`${name} is neither the old nor the new file: ${now[name]}`);
  }
}

/** Checks that a world looks as it must. */
export function checkView(view: WorldView, expected: WorldView): void {
  for (const part of Object.keys(expected) as Array<keyof WorldView>) {
    if (isDeepStrictEqual(view[part], expected[part])) continue;
    const differs = differences(view[part], expected[part]).join('; ');
    throw new Error(`${part} differ from those of an undisturbed run: ${differs}`);
  }
}

/** Checks that every version is there, byte for byte. */
export async function checkVersions(world: World): Promise<void> {
  for (const [version, state] of world.versions) {
    const is = await world.checkedOut(version);
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
