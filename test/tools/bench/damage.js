/**
 * What tools do with damage: four bytes in the middle of the largest file of a store are changed, then the
 * data is asked back. Times of those that do not look at what they give out are to be read with this.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Box } from './box.js';
import { remove } from './data.js';
import { scratchEnv } from './rounds.js';

/** One sentence for each outcome. */
export const damageAbout = {
  refused: 'refuses it',
  delivered: 'gives it out as if it were right',
  healed: 'gives out the right bytes',
  unknown: 'could not be tried',
};

/** Tries a tool in a scratch folder and tells the outcome. */
export function tryDamage(tool, { place, data, measures }) {
  const at = path.join(place, `damage-${tool.name}`);
  const box = new Box({ place: at, section: 'damage', data, who: tool.name, measures });
  box.env = { ...scratchEnv(box), ...tool.env?.(box) };
  try {
    try {
      tool.open(box);
      tool.add(box.begin('add'), 1);
      changeBytes(largestFile(...tool.storedIn(box)));
    } catch {
      return 'unknown';
    }
    return outcome(tool, box);
  } finally {
    remove(at);
  }
}

function outcome(tool, box) {
  let found;
  try {
    found = tool.restore(box.begin('restore'), 1);
  } catch {
    return 'refused';
  }
  try {
    box.compare(found, 1);
    return 'healed';
  } catch {
    return 'delivered';
  }
}

function largestFile(...places) {
  const files = places.flatMap(filesBelow);
  return files.reduce((one, other) => (other.size > one.size ? other : one)).file;
}

function filesBelow(place) {
  const stat = fs.lstatSync(place);
  if (stat.isFile()) return [{ file: place, size: stat.size }];
  if (!stat.isDirectory()) return [];
  return fs.readdirSync(place).flatMap((name) => filesBelow(path.join(place, name)));
}

function changeBytes(file) {
  fs.chmodSync(file, 0o644);
  const fd = fs.openSync(file, 'r+');
  const bytes = Buffer.alloc(4);
  const where = Math.floor(fs.fstatSync(fd).size / 2);
  fs.readSync(fd, bytes, 0, 4, where);
  for (let i = 0; i < 4; i++) bytes[i] ^= 0xff;
  fs.writeSync(fd, bytes, 0, 4, where);
  fs.closeSync(fd);
}
