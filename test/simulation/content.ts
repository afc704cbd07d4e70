import * as fs from 'node:fs';
import * as path from 'node:path';
import { noise } from '../support/flow-scratch.ts';
import { safetensorsFile } from '../support/safetensors.ts';
import type { Chance } from './chance.ts';

/** Paths that workspaces track: a file of one chunk, a file of several, and a directory. */
export const trackedNames = ['a.bin', 'm.safetensors', 'd'] as const;
export type TrackedName = (typeof trackedNames)[number];

/** Contents of each kind; few, so that hosts have many chunks in common. */
export const contentsMax = 6;

function small(number: number): Buffer {
  return noise(200 + 31 * number, `small ${number}`);
}

/** Above the smallest chunk, so that the header of a model is cut off. */
const dataBytes = 131_073;
const data = Array.from({ length: contentsMax }, (_, number) => noise(dataBytes, `data ${number}`));

/** A model of two chunks: its header and its data. Each comes with others of the other kind too. */
function model(head: number, number: number): Buffer {
  return safetensorsFile([{ name: 'w', bytes: data[number] as Buffer }], `head ${head}`);
}

/**
 * Replaces a tracked path of a workspace by other content.
 * @param options `variety` of each kind, {@link contentsMax} at most
 */
export function writeContent(
  root: string,
  name: TrackedName,
  { chance, id, variety }: { chance: Chance; id: string; variety: number },
): void {
  const target = path.join(root, name);
  fs.rmSync(target, { recursive: true, force: true });
  const draw = (what: string | number): number => chance.between(0, variety - 1, id, name, what);
  if (name === 'a.bin') fs.writeFileSync(target, small(draw('which')));
  else if (name === 'm.safetensors') fs.writeFileSync(target, model(draw('head'), draw('data')));
  else {
    fs.mkdirSync(target);
    const files = chance.between(1, 3, id, 'files');
    for (let n = 0; n < files; n++) fs.writeFileSync(path.join(target, `f${n}`), small(draw(n)));
    if (chance.happens(0.3, id, 'model')) {
      fs.writeFileSync(path.join(target, 'model.safetensors'), model(draw('head'), draw('data')));
    }
  }
}
