/** Peers that live in Git: git-lfs and git-annex. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { remove } from './data.js';
import { installedVersion } from './peers-find.js';

/** Filters and a name for commits, so that nothing of this machine's configuration takes part. */
const gitConfig = `[user]
\tname = Bench
\temail = bench@example.com
[init]
\tdefaultBranch = main
[gc]
\tauto = 0
[filter "lfs"]
\tclean = git-lfs clean -- %f
\tsmudge = git-lfs smudge -- %f
\tprocess = git-lfs filter-process
\trequired = true
`;

function gitEnv(box) {
  const file = box.at('gitconfig');
  fs.writeFileSync(file, gitConfig);
  return { GIT_CONFIG_GLOBAL: file, GIT_CONFIG_NOSYSTEM: '1' };
}

function openGit(box) {
  box.quiet('git', ['init', '--quiet']);
  box.quiet('git', ['init', '--quiet', '--bare', box.at('remote.git')]);
  box.quiet('git', ['remote', 'add', 'origin', `file://${box.at('remote.git')}`]);
}

function commit(box, version) {
  box.time('git', ['commit', '--quiet', '--all', '-m', `Version ${version}`]);
}

export const gitLfs = {
  name: 'git-lfs',
  settings:
    'As it comes: whole files, not compressed. Add is `git add` and `git commit`; restore is `git checkout` of a ' +
    'removed file; push and pull go to a `file://` remote, into which it hard-links.',
  find: () => installedVersion('git-lfs', ['version'], /git-lfs\/(\S+)/),
  versionCommand: () => ['git', ['lfs', 'version']],
  env: gitEnv,

  open(box) {
    openGit(box);
    box.quiet('git', ['lfs', 'install', '--local']);
    const pattern = box.isTree ? `${box.entry}/**` : box.entry;
    const attributes = `${pattern} filter=lfs diff=lfs merge=lfs -text\n`;
    fs.writeFileSync(path.join(box.work, '.gitattributes'), attributes);
    box.quiet('git', ['add', '.gitattributes']);
    box.quiet('git', ['commit', '--quiet', '-m', 'Attributes']);
  },

  add(box, version) {
    box.put(version);
    box.time('git', ['add', box.entry]);
    commit(box, version);
  },

  status(box) {
    box.time('git', ['status', '--porcelain']);
  },

  push(box) {
    box.time('git', ['push', '--quiet', 'origin', 'main']);
  },

  restore(box) {
    remove(path.join(box.work, box.entry));
    box.time('git', ['checkout', '--quiet', '--', box.entry]);
    return path.join(box.work, box.entry);
  },

  pull(box) {
    const remote = `file://${box.at('remote.git')}`;
    box.time('git', ['clone', '--quiet', remote, box.at('clone')]);
    return box.at('clone', box.entry);
  },

  storedIn: (box) => [path.join(box.work, '.git')],
  remoteIn: (box) => [box.at('remote.git')],
};

export const gitAnnex = {
  name: 'git-annex',
  settings:
    'As it comes: whole files, not compressed, SHA-256. Add moves the file instead of copying it, and leaves a link ' +
    'to the kept file in its place, so restore is `git annex get` in a clone of the repository. Push is ' +
    '`git annex sync --content`.',
  find: () => installedVersion('git-annex', ['version'], /git-annex version: (\S+)/),
  versionCommand: () => ['git', ['annex', 'version', '--raw']],
  env: gitEnv,

  open(box) {
    openGit(box);
    box.quiet('git', ['remote', 'set-url', 'origin', box.at('remote.git')]);
    box.quiet('git', ['annex', 'init', '--quiet', 'work']);
    box.quiet('git', ['annex', 'init', '--quiet', 'remote'], { cwd: box.at('remote.git') });
  },

  add(box, version) {
    box.put(version);
    box.time('git', ['annex', 'add', '--quiet', box.entry]);
    commit(box, version);
  },

  status(box) {
    box.time('git', ['annex', 'status']);
  },

  push(box) {
    box.time('git', ['annex', 'sync', '--quiet', '--content', '--no-commit', 'origin']);
  },

  restore(box) {
    box.quiet('git', ['clone', '--quiet', box.work, box.at('restored')]);
    const cwd = box.at('restored');
    box.quiet('git', ['annex', 'init', '--quiet', 'restored'], { cwd });
    box.time('git', ['annex', 'get', '--quiet', box.entry], { cwd });
    return path.join(cwd, box.entry);
  },

  pull(box) {
    box.time('git', ['clone', '--quiet', box.at('remote.git'), box.at('clone')]);
    const cwd = box.at('clone');
    box.time('git', ['annex', 'get', '--quiet', box.entry], { cwd });
    return path.join(cwd, box.entry);
  },

  storedIn: (box) => [path.join(box.work, '.git')],
  remoteIn: (box) => [box.at('remote.git')],
};
