import * as fs from 'node:fs';
import * as path from 'node:path';
import type { FuzzTarget } from './target.ts';

const folder = new URL('.', import.meta.url).pathname;

/** An input with the name by which people find it again. */
export interface KeptInput {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Inputs of a target that are checked in: `crashes` that were found once, and a `corpus` that reaches far. */
export function keptInputs(target: FuzzTarget, kind: 'crashes' | 'corpus'): KeptInput[] {
  const place = path.join(folder, kind, target.name);
  if (!fs.existsSync(place)) return [];
  return fs
    .readdirSync(place)
    .sort()
    .map((name) => ({ name: `${kind}/${name}`, bytes: fs.readFileSync(path.join(place, name)) }));
}

/** The good inputs that a target makes itself. */
export function seedInputs(target: FuzzTarget): KeptInput[] {
  const seeds = Object.entries(target.seeds());
  return seeds.map(([name, bytes]) => ({ name: `seed ${name}`, bytes: Buffer.from(bytes) }));
}
