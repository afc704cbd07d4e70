#!/usr/bin/env node
/**
 * The least that a program on Node needs for what commands do with many small files: only the calls that no
 * design can leave out, with no index, no atomic names, no locks and no cache.
 *
 *   node-floor.js status TREE            looks at the times and the size of each file
 *   node-floor.js add TREE PACK          reads and hashes each, appends it to one file, and flushes that
 *   node-floor.js checkout PACK TREE     hashes each in the one file, and creates it
 *   node-floor.js push FOLDER TO         copies the files of a folder, and flushes each
 *   node-floor.js pull FOLDER TO TREE    both: copies and flushes, then creates the files from `TO/PACK`
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';

/** The one file, in a folder that is pushed and pulled. */
const packName = 'pack';

const verbs = {
  status(tree) {
    for (const file of filesOf(tree)) fs.lstatSync(path.join(tree, file), { bigint: true });
  },
  add(tree, pack) {
    const out = fs.openSync(pack, 'wx');
    const sizes = {};
    const digests = [];
    const buffer = Buffer.allocUnsafe(1 << 16);
    for (const file of filesOf(tree)) {
      const fd = fs.openSync(path.join(tree, file));
      const size = fs.readSync(fd, buffer);
      if (size === buffer.length) throw new Error(`${file} is no small file`);
      fs.closeSync(fd);
      const bytes = buffer.subarray(0, size);
      digests.push(createHash('sha256').update(bytes).digest('hex'));
      fs.writeSync(out, bytes);
      sizes[file] = size;
    }
    fs.fdatasyncSync(out);
    fs.closeSync(out);
    fs.writeFileSync(`${pack}.json`, JSON.stringify(sizes));
  },
  checkout(pack, tree) {
    const bytes = fs.readFileSync(pack);
    const digests = [];
    const folders = new Set();
    let at = 0;
    for (const [file, size] of Object.entries(JSON.parse(fs.readFileSync(`${pack}.json`)))) {
      const folder = path.join(tree, path.dirname(file));
      if (!folders.has(folder)) fs.mkdirSync(folder, { recursive: true });
      folders.add(folder);
      const part = bytes.subarray(at, at + size);
      at += size;
      digests.push(createHash('sha256').update(part).digest('hex'));
      const fd = fs.openSync(path.join(tree, file), 'wx');
      fs.writeSync(fd, part);
      fs.closeSync(fd);
    }
  },
  push(folder, to) {
    for (const file of filesOf(folder)) {
      fs.mkdirSync(path.dirname(path.join(to, file)), { recursive: true });
      fs.copyFileSync(path.join(folder, file), path.join(to, file));
      const fd = fs.openSync(path.join(to, file), 'r+');
      fs.fdatasyncSync(fd);
      fs.closeSync(fd);
    }
  },
  pull(folder, to, tree) {
    verbs.push(folder, to);
    verbs.checkout(path.join(to, packName), tree);
  },
};

/** The paths of all files below a folder. */
function filesOf(top, below = '') {
  return fs.readdirSync(path.join(top, below), { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(below, entry.name);
    return entry.isDirectory() ? filesOf(top, name) : [name];
  });
}

const [verb, ...places] = process.argv.slice(2);
if (verbs[verb] === undefined) throw new Error(`Not a verb: ${verb}`);
verbs[verb](...places);
