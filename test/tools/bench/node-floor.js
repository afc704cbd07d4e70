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
 *   node-floor.js threads add|checkout ...  the same with half of the files on a second thread
 */
import { hash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

/** The one file, in a folder that is pushed and pulled. */
const packName = 'pack';

const verbs = {
  status(tree) {
    for (const file of filesOf(tree)) fs.lstatSync(path.join(tree, file), { bigint: true });
  },
  add(tree, pack, files = filesOf(tree)) {
    const out = fs.openSync(pack, 'wx');
    const sizes = {};
    const digests = [];
    const buffer = Buffer.allocUnsafe(1 << 16);
    for (const file of files) {
      const fd = fs.openSync(path.join(tree, file));
      const size = fs.readSync(fd, buffer);
      if (size === buffer.length) throw new Error(`${file} is no small file`);
      fs.closeSync(fd);
      const bytes = buffer.subarray(0, size);
      digests.push(hash('sha256', bytes));
      fs.writeSync(out, bytes);
      sizes[file] = size;
    }
    fs.fdatasyncSync(out);
    fs.closeSync(out);
    fs.writeFileSync(`${pack}.json`, JSON.stringify(sizes));
  },
  checkout(pack, tree, places = placesIn(pack)) {
    const bytes = fs.readFileSync(pack);
    const digests = [];
    const folders = new Set();
    for (const [file, at, end] of places) {
      const folder = path.join(tree, path.dirname(file));
      if (!folders.has(folder)) fs.mkdirSync(folder, { recursive: true });
      folders.add(folder);
      const part = bytes.subarray(at, end);
      digests.push(hash('sha256', part));
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

/** What two threads share, and what each then does with its part of it. */
const halves = {
  add: ([tree, pack]) => {
    const [first, second] = split(filesOf(tree));
    return [
      [tree, pack, first],
      [tree, `${pack}.second`, second],
    ];
  },
  checkout: ([pack, tree]) => split(placesIn(pack)).map((places) => [pack, tree, places]),
};

function split(list) {
  const half = list.length >> 1;
  return [list.slice(0, half), list.slice(half)];
}

function onTwoThreads(verb, args) {
  const [first, second] = halves[verb](args);
  new Worker(import.meta.filename, { workerData: [verb, second] });
  verbs[verb](...first);
}

/** Where the files are in the one file: name, first byte, end. */
function placesIn(pack) {
  let at = 0;
  const sizes = Object.entries(JSON.parse(fs.readFileSync(`${pack}.json`)));
  return sizes.map(([file, size]) => {
    at += size;
    return [file, at - size, at];
  });
}

/** The paths of all files below a folder. */
function filesOf(top, below = '') {
  return fs.readdirSync(path.join(top, below), { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(below, entry.name);
    return entry.isDirectory() ? filesOf(top, name) : [name];
  });
}

if (isMainThread) {
  const [verb, ...args] = process.argv.slice(2);
  if (verb === 'threads') onTwoThreads(args[0], args.slice(1));
  else if (verbs[verb] !== undefined) verbs[verb](...args);
  else throw new Error(`Not a verb: ${verb}`);
} else {
  const [verb, args] = workerData;
  verbs[verb](...args);
}
