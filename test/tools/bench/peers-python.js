/** Peers in Python, which live in a virtual environment: dvc and the client of the Hugging Face store. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { remove } from './data.js';
import { installedVersion } from './peers-find.js';

/**
 * What hf_xet does for files, each once: cuts, digests and keeps them in its store, or brings them back.
 * The file of names holds what a server would remember of the uploaded files.
 */
const xetProgram = `
import json, os, sys
import hf_xet
verb, endpoint, names, *places = sys.argv[1:]
session = hf_xet.XetSession()
def files(top):
    if os.path.isfile(top):
        yield '.', top
    for folder, _, found in os.walk(top):
        for name in found:
            at = os.path.join(folder, name)
            yield os.path.relpath(at, top), at
if verb == 'upload':
    with session.new_upload_commit(endpoint=endpoint) as commit:
        handles = [(name, commit.start_upload_file(at)) for name, at in files(places[0])]
    infos = [(name, handle.result().xet_info) for name, handle in handles]
    with open(names, 'w') as out:
        json.dump([(name, info.hash, info.file_size) for name, info in infos], out)
else:
    with open(names) as known, session.new_file_download_group(endpoint=endpoint) as group:
        for name, digest, size in json.load(known):
            to = os.path.normpath(os.path.join(places[0], name))
            os.makedirs(os.path.dirname(to), exist_ok=True)
            group.start_download_file(hf_xet.XetFileInfo(digest, size), to)
`;

function moduleVersion(venv, name) {
  const program = `import importlib.metadata as m; print('version', m.version('${name}'))`;
  return installedVersion(path.join(venv, 'bin/python'), ['-c', program], /version (\S+)/);
}

/** The client of the Hugging Face store, which cuts by content too. */
export function hfXet(venv) {
  const python = path.join(venv, 'bin/python');
  const endpoint = (box) => `local://${box.at('store')}`;
  const names = (box, version) => box.at(`v${version}.json`);
  return {
    name: 'hf_xet',
    settings:
      'The client library by itself, with the store on the local disk that it has for tests in the place of the ' +
      'server; computes SHA-256 as for an upload; compression off, caches and statistics off. Its store is ' +
      'not flushed.',
    find: () => moduleVersion(venv, 'hf_xet'),
    versionCommand: () => [python, ['-c', 'import hf_xet']],
    env: (box) => ({
      HF_HOME: box.at('home'),
      HF_HUB_OFFLINE: '1',
      HF_XET_DATA_XORB_COMPRESSION_POLICY: 'none',
      HF_XET_TELEMETRY_ENABLED: 'false',
    }),

    open(box) {
      fs.mkdirSync(box.at('store'));
    },

    add(box, version) {
      const source = path.join(box.source(version), box.entry);
      box.time(python, ['-c', xetProgram, 'upload', endpoint(box), names(box, version), source]);
    },

    restore(box, version) {
      const to = box.at('restored', box.entry);
      box.time(python, ['-c', xetProgram, 'download', endpoint(box), names(box, version), to]);
      return to;
    },

    storedIn: (box) => [box.at('store')],
  };
}

/** DVC: whole files by MD5, pointer files beside the data. */
export function dvc(venv) {
  const program = path.join(venv, 'bin/dvc');
  const open = (box, cwd) => {
    const config = (...args) => box.quiet(program, ['config', ...args], { cwd });
    box.quiet(program, ['init', '--no-scm', '--quiet'], { cwd });
    config('cache.type', 'copy');
    config('core.analytics', 'false');
    config('core.check_update', 'false');
    box.quiet(program, ['remote', 'add', '--quiet', '--default', 'origin', box.at('remote')], {
      cwd,
    });
  };
  return {
    name: 'dvc',
    settings:
      'No Git, `cache.type copy`, no statistics sent: whole files, not compressed, MD5. Restore is `dvc checkout` of ' +
      'a removed file.',
    find: () => moduleVersion(venv, 'dvc'),
    versionCommand: () => [program, ['--version']],
    env: (box) => ({ DVC_SITE_CACHE_DIR: box.at('site'), DVC_NO_ANALYTICS: '1' }),
    open: (box) => open(box, box.work),

    add(box, version) {
      box.put(version);
      box.time(program, ['add', '--quiet', box.entry]);
    },

    status(box) {
      box.time(program, ['status', '--quiet']);
    },

    push(box) {
      box.time(program, ['push', '--quiet']);
    },

    restore(box) {
      remove(path.join(box.work, box.entry));
      box.time(program, ['checkout', '--quiet']);
      return path.join(box.work, box.entry);
    },

    pull(box) {
      const cwd = box.at('clone');
      fs.mkdirSync(cwd);
      open(box, cwd);
      const pointer = `${box.entry}.dvc`;
      fs.copyFileSync(path.join(box.work, pointer), path.join(cwd, pointer));
      box.time(program, ['pull', '--quiet'], { cwd });
      return path.join(cwd, box.entry);
    },

    storedIn: (box) => [path.join(box.work, '.dvc/cache')],
    remoteIn: (box) => [box.at('remote')],
  };
}
