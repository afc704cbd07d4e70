/** Makes the data of the bench: nothing is downloaded, and random bytes are new in each run. */
import { randomFillSync } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { mebibyte, realWeights } from './environment.js';
import { run } from './measure.js';

const fileBytes = 4096;
const editBytes = mebibyte;
const insertedBytes = 1024;

/** A large file and its second version: 1 KiB at the head, 1 % overwritten in regions of 1 MiB. */
export function makeLarge(place, sizeMiB, entry = 'model.bin') {
  const one = versionPath(place, 1, entry);
  const two = versionPath(place, 2, entry);
  writeRandom(one, sizeMiB * mebibyte);
  fs.writeFileSync(two, randomFillSync(Buffer.alloc(insertedBytes)));
  run('sh', ['-c', 'cat "$1" >> "$2"', 'sh', one, two]);
  const regions = Math.max(1, Math.round(sizeMiB / 100));
  const block = Buffer.alloc(editBytes);
  const fd = fs.openSync(two, 'r+');
  for (let i = 0; i < regions; i++) {
    const where = Math.floor(((i + 0.5) / regions) * (sizeMiB * mebibyte - editBytes));
    fs.writeSync(fd, randomFillSync(block), 0, editBytes, where);
  }
  fs.closeSync(fd);
  return { entry, place, versions: 2 };
}

/** A model in a folder: a large file as {@link makeLarge} makes it, and a small one that stays the same. */
export function makeModel(place, sizeMiB, { large, small }) {
  makeLarge(place, sizeMiB, `model/${large}`);
  const bytes = randomFillSync(Buffer.alloc(fileBytes));
  for (const version of [1, 2])
    fs.writeFileSync(versionPath(place, version, `model/${small}`), bytes);
  return { entry: 'model', place, versions: 2 };
}

function writeRandom(file, bytes) {
  const block = Buffer.alloc(4 * mebibyte);
  const fd = fs.openSync(file, 'w');
  for (let left = bytes; left > 0; left -= block.length)
    fs.writeSync(fd, randomFillSync(block), 0, Math.min(left, block.length));
  fs.closeSync(fd);
}

/** A tree of small random files, a hundred to a folder. */
export function makeMany(place, count) {
  const tree = versionPath(place, 1, 'tree');
  for (let i = 0; i < count; i++) {
    const folder = path.join(tree, `part-${Math.floor(i / 100)}`);
    if (i % 100 === 0) fs.mkdirSync(folder, { recursive: true });
    const file = path.join(folder, `file-${i}`);
    fs.writeFileSync(file, randomFillSync(Buffer.alloc(fileBytes)));
  }
  return { entry: 'tree', place, versions: 1 };
}

/**
 * Real weights, and a version in which a quarter of the bytes in the last tenth of each model changed, as
 * when the last layers are trained again.
 */
export function makeWeights(place) {
  for (const version of [1, 2])
    fs.cpSync(realWeights, versionPath(place, version, 'weights'), { recursive: true });
  const tuned = versionPath(place, 2, 'weights');
  for (const name of fs.readdirSync(tuned)) {
    const file = path.join(tuned, name);
    const bytes = fs.readFileSync(file);
    if (!name.endsWith('.onnx')) continue;
    const noise = randomFillSync(Buffer.alloc(Math.ceil(bytes.length / 40)));
    for (let i = Math.floor(bytes.length * 0.9), n = 0; i < bytes.length; i += 4, n++)
      bytes[i] = noise[n];
    fs.writeFileSync(file, bytes);
  }
  return { entry: 'weights', place, versions: 2 };
}

/** One file of a few bytes, for what a command costs when there is nothing to do. */
export function makeSmall(place) {
  fs.writeFileSync(versionPath(place, 1, 'model.bin'), 'weights');
  return { entry: 'model.bin', place, versions: 1 };
}

/** Where the entry of a version is; its folder is made. */
function versionPath(place, version, entry) {
  const file = path.join(place, `v${version}`, entry);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  return file;
}

/** Bytes of the files in some folders or files, links not followed. */
export function bytesBelow(...places) {
  return places.reduce((sum, place) => {
    const stat = fs.lstatSync(place);
    if (!stat.isDirectory()) return sum + stat.size;
    const names = fs.readdirSync(place).map((name) => path.join(place, name));
    return sum + bytesBelow(...names);
  }, 0);
}

/** Reads files to nothing, so that whoever is measured next finds them in memory. */
export function warm(place) {
  const stat = fs.statSync(place);
  if (stat.isDirectory()) {
    for (const name of fs.readdirSync(place)) {
      const below = path.join(place, name);
      if (!fs.lstatSync(below).isSymbolicLink()) warm(below);
    }
    return;
  }
  if (!stat.isFile()) return;
  const block = Buffer.alloc(Math.min(4 * mebibyte, Math.max(1, stat.size)));
  const fd = fs.openSync(place, 'r');
  while (fs.readSync(fd, block, 0, block.length, null) > 0);
  fs.closeSync(fd);
}

let trash;
let removed = 0;

/**
 * Lets what is removed from now on be moved to a folder; without one it is removed again, and the folder
 * with all in it. File systems pass over the places of files that were just removed, one by one: making
 * files where many were a moment ago takes several times as long, whichever tool does it.
 */
export function moveRemoved(folder) {
  const before = trash;
  trash = folder;
  if (folder !== undefined) fs.mkdirSync(folder, { recursive: true });
  else if (before !== undefined) remove(before);
}

/** Removes files and folders, those without the right to write too. */
export function remove(...places) {
  for (const place of places) {
    if (trash !== undefined && fs.existsSync(place)) {
      fs.renameSync(place, path.join(trash, `${removed++}`));
      continue;
    }
    try {
      fs.rmSync(place, { recursive: true, force: true });
    } catch {
      run('chmod', ['-R', 'u+w', place]);
      fs.rmSync(place, { recursive: true, force: true });
    }
  }
}
