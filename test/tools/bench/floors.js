/** What the same work costs at least: plain tools on the same bytes, run just before mstore. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { remove } from './data.js';

/** The floors by name. Each gets the box of mstore, whose store is what some of them copy. */
const floors = {
  H: (box, version) => ['openssl', ['dgst', '-sha256', dataOf(box, version)]],
  sha256sum: (box, version) => ['sha256sum', [dataOf(box, version)]],
  D: (box, version) => [
    'dd',
    [
      `if=${dataOf(box, version)}`,
      `of=${box.at('copy')}`,
      ...['bs=4M', 'oflag=direct', 'conv=fdatasync', 'status=none'],
    ],
  ],
  'C store': (box) => copy(box, [path.join(box.work, '.modelstore/store')]),
  'C new': (box) => copy(box, newPacks(box)),
  'C tree': (box, version) => copy(box, [dataOf(box, version)]),
  'node -e 0': () => [process.execPath, ['-e', '0']],
  'N status': (box, version) => node('status', dataOf(box, version)),
  'N add': (box, version) => packing(box, version, []),
  'N add, 2 threads': (box, version) => packing(box, version, ['threads']),
  'N push': (box) => node('push', path.join(box.work, '.modelstore/store'), box.at('copy')),
  'N checkout': (box, version) => unpacking(box, version, []),
  'N checkout, 2 threads': (box, version) => unpacking(box, version, ['threads']),
  'N pull': (box, version) => {
    pack(box, version);
    return node('pull', box.at('copy/from'), box.at('copy/to'), box.at('copy/tree'));
  },
};

function node(...args) {
  return [process.execPath, [path.join(import.meta.dirname, 'node-floor.js'), ...args]];
}

function packing(box, version, how) {
  fs.mkdirSync(box.at('copy'));
  return node(...how, 'add', dataOf(box, version), box.at('copy/pack'));
}

function unpacking(box, version, how) {
  pack(box, version);
  return node(...how, 'checkout', box.at('copy/from/pack'), box.at('copy/tree'));
}

/** Puts a version into one file, for programs that create it from there. */
function pack(box, version) {
  fs.mkdirSync(box.at('copy/from'), { recursive: true });
  box.quiet(...node('add', dataOf(box, version), box.at('copy/from/pack')));
}

/** What the names stand for, for those who read the table. */
export const floorsAbout = {
  H: '`openssl dgst -sha256` of the same version of the large file',
  sha256sum: '`sha256sum` of the large file, for comparison',
  D: '`dd bs=4M oflag=direct conv=fdatasync` of it, for comparison',
  'C store': '`cp -r` of the store that is sent, not flushed',
  'C new': '`cp` of the packs that are new in the second version, not flushed',
  'C tree': '`cp -r` of the tree, not flushed',
  'node -e 0': 'starting Node',
  'N status': 'a bare program on Node that looks at each file of the tree',
  'N add': 'one that reads and hashes each, appends it to one file, and flushes that',
  'N add, 2 threads': 'the same with half of the files on a second thread',
  'N push': 'one that copies the files of the store, and flushes each',
  'N checkout': 'one that hashes each file in that one file, and creates it',
  'N checkout, 2 threads': 'the same with half of the files on a second thread',
  'N pull': 'one that copies and flushes that one file, then does the same',
};

/** Measures a floor; its time is kept under the operation whose floor it is. */
export function measureFloor(name, box, version) {
  const [command, args] = floors[name](box, version);
  box.time(command, args, { as: name });
  remove(box.at('copy'));
}

function dataOf(box, version) {
  return path.join(box.source(version), box.entry);
}

function copy(box, from) {
  fs.mkdirSync(box.at('copy'));
  return ['cp', ['-r', ...from, box.at('copy')]];
}

/** Packs of the store that the remote does not have yet. */
function newPacks(box) {
  const packsOf = (store) =>
    fs
      .readdirSync(path.join(store, 'packs'), { recursive: true })
      .filter((name) => name.endsWith('.pack'));
  const store = path.join(box.work, '.modelstore/store');
  const sent = new Set(packsOf(box.at('remote')));
  const missing = packsOf(store).filter((name) => !sent.has(name));
  return missing.map((name) => path.join(store, 'packs', name));
}
