/**
 * Peers that are programs for backups: restic, borg and casync. They read the data from where it is and
 * write to a repository, which may be far away: they have no step of sending apart from that.
 */
import * as fs from 'node:fs';
import { installedVersion } from './peers-find.js';

export const restic = {
  name: 'restic',
  settings:
    'Compression off; always encrypts, with AES, which cannot be turned off; format of repositories 2.',
  find: () => installedVersion('restic', ['version'], /restic (\S+)/),
  versionCommand: () => ['restic', ['version']],
  env: (box) => ({
    RESTIC_PASSWORD: 'bench',
    RESTIC_REPOSITORY: box.at('repository'),
    RESTIC_CACHE_DIR: box.at('cache'),
  }),

  open(box) {
    box.quiet('restic', ['init', '--quiet', '--repository-version', '2']);
  },

  add(box, version) {
    const args = ['backup', '--quiet', '--compression', 'off', box.entry];
    box.time('restic', args, { cwd: box.source(version) });
  },

  restore(box) {
    box.time('restic', ['restore', 'latest', '--quiet', '--target', box.at('restored')]);
    return box.at('restored', box.entry);
  },

  storedIn: (box) => [box.at('repository')],
};

export const borg = {
  name: 'borg',
  settings: 'No compression, no encryption.',
  find: () => installedVersion('borg', ['--version'], /borg (\S+)/),
  versionCommand: () => ['borg', ['--version']],
  env: (box) => ({
    BORG_BASE_DIR: box.at('home'),
    BORG_REPO: box.at('repository'),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
    BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
  }),

  open(box) {
    box.quiet('borg', ['init', '--encryption', 'none']);
  },

  add(box, version) {
    const args = ['create', '--compression', 'none', `::v${version}`, box.entry];
    box.time('borg', args, { cwd: box.source(version) });
  },

  restore(box, version) {
    fs.mkdirSync(box.at('restored'));
    box.time('borg', ['extract', `::v${version}`], { cwd: box.at('restored') });
    return box.at('restored', box.entry);
  },

  storedIn: (box) => [box.at('repository')],
};

export const casync = {
  name: 'casync',
  settings:
    'Digests of SHA-256; always compresses, with zstd here, which cannot be turned off. A tree is archived with the ' +
    'permissions and times of its files only.',
  find: () => installedVersion('casync', ['--version'], /casync (\S+)/),
  versionCommand: () => ['casync', ['--version']],

  open(box) {
    fs.mkdirSync(box.at('store.castr'));
  },

  add(box, version) {
    const source = `${box.source(version)}/${box.entry}`;
    const tree = box.isTree ? ['--with=unix'] : [];
    box.time('casync', [...casyncOptions(box), ...tree, 'make', casyncIndex(box, version), source]);
  },

  restore(box, version) {
    const tree = box.isTree ? ['--with=unix'] : [];
    const to = box.at('restored', box.entry);
    fs.mkdirSync(box.at('restored'));
    box.time('casync', [...casyncOptions(box), ...tree, 'extract', casyncIndex(box, version), to]);
    return to;
  },

  storedIn: (box) => [box.at('store.castr')],
};

function casyncOptions(box) {
  return [`--store=${box.at('store.castr')}`, '--digest=sha256', '--compression=zstd'];
}

/** The name of an index tells whether it is of a file or of a tree. */
function casyncIndex(box, version) {
  return box.at(`v${version}.${box.isTree ? 'caidx' : 'caibx'}`);
}
