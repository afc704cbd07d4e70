/**
 * mstore and its peers with a service. Each keeps its versions in a folder of its own of the bucket; what
 * it sends to stands in the `target` of its box.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { mstoreProgram } from './environment.js';
import { installedVersion } from './peers-find.js';

/** The files of the model that is sent. */
export const modelFiles = { large: 'weights.bin', small: 'config.json' };

const node = process.execPath;
const pointers = Object.values(modelFiles).map((name) => `${name}.mstore`);

/** What all find credentials by, and nothing of this machine. */
function credentials({ target }) {
  const { scheme, endpoint, region, accessKey, secret } = target;
  if (scheme === 'gs') return { STORAGE_EMULATOR_HOST: endpoint };
  return {
    AWS_ACCESS_KEY_ID: accessKey,
    AWS_SECRET_ACCESS_KEY: secret,
    AWS_DEFAULT_REGION: region,
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
}

/** The folder of a tool in the bucket, as a URL. */
function urlOf({ target, who }) {
  return `${target.scheme}://${target.bucket}/${who}`;
}

export const serviceMstore = {
  name: 'mstore',
  settings:
    'As it comes; the files are tracked each for itself. A pull ends when all is verified, in the store and in place.',
  versionCommand: () => [node, [mstoreProgram, '--version']],
  env: credentials,

  /** The first version is in the store before the clock runs: peers read the files as they are. */
  open(box) {
    setUp(box, box.work, ['remote', 'add', 'origin', urlOf(box)]);
    track(box, 1);
  },

  push(box, version) {
    if (version > 1) track(box, version);
    box.time(node, [mstoreProgram, 'push']);
  },

  pull(box) {
    return path.join(pullIn(box, 'clone'), box.entry);
  },

  /** In a workspace that has nothing yet, as on another machine. */
  one(box, version) {
    const clone = pullIn(box, 'clone-one', `${box.entry}/${modelFiles.small}`);
    box.compare(path.join(clone, box.entry, modelFiles.small), version, modelFiles.small);
  },

  storedIn: (box) => [path.join(box.work, '.modelstore/store')],
  remoteIn: () => [],
};

function setUp(box, cwd, last) {
  const { scheme, endpoint, region } = box.target;
  const settings = scheme === 's3' ? Object.entries({ endpoint, region }) : [];
  const commands = [
    ['init', '--no-git'],
    ...settings.map(([key, value]) => ['config', 'set', `remote.origin.${key}`, value]),
    last,
  ];
  for (const args of commands) box.quiet(node, [mstoreProgram, ...args], { cwd });
}

function track(box, version) {
  box.put(version);
  const files = Object.values(modelFiles).map((name) => `${box.entry}/${name}`);
  box.quiet(node, [mstoreProgram, 'add', ...files]);
}

/** Pulls in a new workspace that has the pointers alone, and returns it. */
function pullIn(box, name, ...paths) {
  const clone = box.at(name);
  fs.mkdirSync(path.join(clone, box.entry), { recursive: true });
  setUp(box, clone, ['remote', 'add', 'origin', urlOf(box), '--no-create']);
  for (const pointer of pointers)
    fs.copyFileSync(path.join(box.work, box.entry, pointer), path.join(clone, box.entry, pointer));
  box.time(node, [mstoreProgram, 'pull', ...paths], { cwd: clone });
  return clone;
}

/** A peer that copies files: whole ones, each version to a folder of its own. */
function copier({ command, folder = urlOf, copy, copyFile, ...rest }) {
  const at = (box, version) => `${folder(box)}/v${version}`;
  const run = (box, args) => box.time(command, args(box));
  return {
    ...rest,
    command,
    open: () => {},

    push(box, version) {
      run(box, () => copy(box, path.join(box.source(version), box.entry), at(box, version)));
    },

    pull(box, version) {
      const to = box.at('restored');
      run(box, () => copy(box, at(box, version), to));
      return to;
    },

    one(box, version) {
      const to = box.at(modelFiles.small);
      run(box, () => copyFile(box, `${at(box, version)}/${modelFiles.small}`, to));
      box.compare(to, version, modelFiles.small);
    },

    storedIn: (box) => [path.join(box.source(1), box.entry)],
    remoteIn: () => [],
  };
}

/** rclone. */
export function rclone() {
  return copier({
    name: 'rclone',
    settings: 'As it comes: `rclone copy`, which compares digests of what it copied.',
    schemes: ['s3', 'gs'],
    find: () => installedVersion('rclone', ['version'], /rclone v([\d.]+)/),
    command: 'rclone',
    env: (box) => ({ ...credentials(box), ...rcloneConfig(box.target) }),
    folder: ({ target, who }) => `bench:${target.bucket}/${who}`,
    copy: (_, from, to) => ['copy', from, to],
    copyFile: (_, from, to) => ['copyto', from, to],
  });
}

function rcloneConfig({ scheme, endpoint, region, accessKey, secret }) {
  const config =
    scheme === 's3'
      ? {
          type: 's3',
          provider: 'Other',
          endpoint,
          region,
          access_key_id: accessKey,
          secret_access_key: secret,
        }
      : {
          type: 'google cloud storage',
          endpoint: `${endpoint}/storage/v1/`,
          anonymous: 'true',
          bucket_policy_only: 'true',
        };
  const variables = Object.entries(config).map(([key, value]) => [
    `RCLONE_CONFIG_BENCH_${key.toUpperCase()}`,
    value,
  ]);
  return { RCLONE_CONFIG: '/dev/null', ...Object.fromEntries(variables) };
}

/** The command line of Amazon. */
export function awsCli(venv) {
  const program = path.join(venv, 'bin/aws');
  const cp = ({ target }, ...args) => {
    const how = ['--endpoint-url', target.endpoint, '--only-show-errors'];
    return ['s3', 'cp', ...how, ...args];
  };
  return copier({
    name: 'aws s3 cp',
    settings: 'As it comes: ten requests at once, parts of 8 MiB.',
    schemes: ['s3'],
    find: () => installedVersion(program, ['--version'], /aws-cli\/(\S+)/),
    command: program,
    env: credentials,
    copy: (box, from, to) => cp(box, '--recursive', from, to),
    copyFile: (box, from, to) => cp(box, from, to),
  });
}
