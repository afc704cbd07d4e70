/** mstore itself, in the form of a peer. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { remove } from './data.js';
import { mstoreProgram } from './environment.js';

const node = process.execPath;

function quietly(box, cwd, ...args) {
  box.quiet(node, [mstoreProgram, ...args], { cwd });
}

export const mstore = {
  name: 'mstore',
  settings: 'As it comes; every byte is verified on every read, and what is stored is flushed.',
  versionCommand: () => [node, [mstoreProgram, '--version']],

  open(box) {
    quietly(box, box.work, 'init', '--no-git');
    quietly(box, box.work, 'remote', 'add', 'origin', '../remote');
  },

  add(box, version) {
    box.put(version);
    box.time(node, [mstoreProgram, 'add', box.entry]);
  },

  status(box) {
    box.time(node, [mstoreProgram, 'status']);
  },

  push(box) {
    box.time(node, [mstoreProgram, 'push']);
  },

  /** A push that has nothing to send must find that out, and send nothing. */
  again(box) {
    const { stdout } = box.time(node, [mstoreProgram, 'push', '--json']);
    const { bytesSent } = JSON.parse(stdout);
    if (bytesSent !== 0) throw new Error(`The second push sent ${bytesSent} bytes`);
  },

  restore(box) {
    remove(path.join(box.work, box.entry));
    box.time(node, [mstoreProgram, 'checkout']);
    return path.join(box.work, box.entry);
  },

  pull(box) {
    const clone = box.at('clone');
    fs.mkdirSync(clone);
    quietly(box, clone, 'init', '--no-git');
    const pointer = `${box.entry}.mstore`;
    fs.copyFileSync(path.join(box.work, pointer), path.join(clone, pointer));
    box.time(node, [mstoreProgram, 'pull', '--remote', '../remote'], { cwd: clone });
    return path.join(clone, box.entry);
  },

  storedIn: (box) => [path.join(box.work, '.modelstore/store')],
  remoteIn: (box) => [box.at('remote')],
};
