import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { type Dockerfile, type Instruction, pairsOf, substituted, wordsOf } from './dockerfile.ts';

/** An image that was built: a folder with its files, and how its containers start. */
export interface Image {
  readonly root: string;
  readonly env: Readonly<Record<string, string>>;
  readonly workdir: string;
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly healthcheck: readonly string[];
}

/** What a build is given. */
export interface BuildOptions {
  /** Folder of what is copied. */
  readonly context: string;
  /** Folder for the files of stages. */
  readonly place: string;
  /** Images that stages begin with, by their names. */
  readonly images: Readonly<Record<string, Image>>;
  readonly args?: Readonly<Record<string, string>>;
  /** Files of secrets, by id. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Folders that are mounted as caches, by target. */
  readonly caches: (target: string) => string;
  /** More variables and mounts of each `RUN`, as an engine hands on those of the network. */
  readonly env?: Readonly<Record<string, string>>;
  readonly mounts?: Readonly<Record<string, string>>;
}

/** How a process in an image ended. */
export interface ImageRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run a process in an image. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Number of the user, and of the group behind a colon. */
  readonly user?: string;
  readonly workdir?: string;
  /** Whether nothing but what is mounted can be written to. */
  readonly readOnly?: boolean;
  /** Whether the process has no capabilities, and can get none. */
  readonly restricted?: boolean;
  /** Folders and files of this machine, by their places in the image. */
  readonly mounts?: Readonly<Record<string, string>>;
  /** Ends the process by SIGTERM. */
  readonly signal?: AbortSignal;
}

const run = promisify(execFile);

/**
 * Runs words in an image: in a namespace of mounts of its own, with `/proc` and `/dev`, on the network of this
 * machine. As root alone may.
 */
export async function runInImage(
  image: Image,
  words: readonly string[],
  options: RunOptions = {},
): Promise<ImageRun> {
  const { user = image.user, workdir = image.workdir, mounts = {} } = options;
  const [uid = '0', gid = uid] = user.split(':');
  const env = { PATH: standardPath, ...image.env, ...options.env };
  const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const at = (inside: string): string => quoted(path.join(image.root, inside));
  const places = Object.entries(mounts).flatMap(([inside, outside]) => [
    fs.statSync(outside).isDirectory()
      ? `mkdir -p ${at(inside)}`
      : `mkdir -p ${at(path.dirname(inside))} && touch ${at(inside)}`,
    `mount --bind ${quoted(outside)} ${at(inside)}`,
  ]);
  const limits = options.restricted ? ['--bounding-set=-all', '--no-new-privs'] : [];
  const setpriv = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', ...limits];
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const inside = [
    'chroot',
    image.root,
    ...setpriv,
    'env',
    '-i',
    '-C',
    workdir,
    ...variables,
    ...words,
  ];
  const script = [
    'set -e',
    `mount --bind ${at('/')} ${at('/')}`,
    `mount -t proc proc ${at('/proc')}`,
    `mount --rbind /dev ${at('/dev')}`,
    // Where places are mounted has to be there before nothing can be written any more.
    ...places.filter((_, i) => i % 2 === 0),
    ...(options.readOnly ? [`mount -o remount,bind,ro ${at('/')}`] : []),
    ...places.filter((_, i) => i % 2 === 1),
    `exec ${inside.map(quoted).join(' ')}`,
  ].join('\n');
  return new Promise((resolve) => {
    const child = execFile(
      'unshare',
      ['--mount', '--', 'sh', '-c', script],
      { env: { PATH: standardPath }, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
        resolve({ code, stdout, stderr });
      },
    );
    // One program became the next: what gets the signal is what was asked for.
    options.signal?.addEventListener('abort', () => void child.kill('SIGTERM'), { once: true });
  });
}

const standardPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** A stage while it is built. */
interface Building {
  image: Image;
  readonly args: Record<string, string>;
}

/**
 * Builds an image without an engine: each instruction does what BuildKit does, as far as the files of this
 * repository need it; any other is an error. What fails ends the build with what was printed.
 */
export async function buildImage(dockerfile: Dockerfile, options: BuildOptions): Promise<Image> {
  const last = dockerfile.stages.at(-1)?.name ?? '';
  return (await buildStages(dockerfile, [last], options))[last] as Image;
}

/** The same for several stages, by their names. */
export async function buildStages(
  dockerfile: Dockerfile,
  wanted: readonly string[],
  options: BuildOptions,
): Promise<Record<string, Image>> {
  const global: Record<string, string> = { BUILDPLATFORM: 'linux/amd64' };
  for (const { rest } of dockerfile.args)
    for (const [name, value] of pairsOf(rest)) global[name] = options.args?.[name] ?? value ?? '';
  const built: Record<string, Image> = {};
  for (const stage of neededStages(dockerfile, wanted, global)) {
    const from = substituted(stage.from, global);
    const base = built[from] ?? options.images[from];
    if (base === undefined) throw new Error(`There is no image ${from}`);
    const root = path.join(options.place, stage.name);
    await run('cp', ['-a', '--reflink=auto', base.root, root]);
    const building: Building = { image: { ...base, root }, args: {} };
    for (const instruction of stage.instructions)
      await apply(building, instruction, { ...options, global, built });
    built[stage.name] = building.image;
  }
  return built;
}

/** The stages that are wanted, after all that they build on or copy from. */
function neededStages(
  { stages }: Dockerfile,
  wanted: readonly string[],
  global: Readonly<Record<string, string>>,
): typeof stages {
  const needed = new Set(wanted);
  for (const { name, from, instructions } of [...stages].reverse()) {
    if (!needed.has(name)) continue;
    needed.add(substituted(from, global));
    for (const { flags } of instructions)
      for (const [flag, value] of flags) if (flag === 'from') needed.add(value);
  }
  return stages.filter(({ name }) => needed.has(name));
}

interface Applying extends BuildOptions {
  readonly global: Readonly<Record<string, string>>;
  readonly built: Readonly<Record<string, Image>>;
}

async function apply(
  building: Building,
  instruction: Instruction,
  options: Applying,
): Promise<void> {
  const { word, rest } = instruction;
  const { image, args } = building;
  const known = { ...args, ...image.env };
  switch (word) {
    case 'ARG':
      for (const [name, value] of pairsOf(rest)) {
        const given = options.args?.[name] ?? value ?? options.global[name];
        if (given !== undefined) args[name] = given;
      }
      return;
    case 'ENV': {
      const pairs = pairsOf(rest).map(([name, value = '']) => [name, substituted(value, known)]);
      building.image = { ...image, env: { ...image.env, ...Object.fromEntries(pairs) } };
      return;
    }
    case 'WORKDIR':
      building.image = { ...image, workdir: path.posix.resolve(image.workdir, rest) };
      fs.mkdirSync(path.join(image.root, building.image.workdir), { recursive: true });
      return;
    case 'USER':
      building.image = { ...image, user: rest === 'root' ? '0:0' : rest };
      return;
    case 'ENTRYPOINT':
      building.image = { ...image, entrypoint: wordsOf(rest), cmd: [] };
      return;
    case 'CMD':
      building.image = { ...image, cmd: wordsOf(rest) };
      return;
    case 'HEALTHCHECK':
      building.image = { ...image, healthcheck: wordsOf(rest.replace(/^.*?CMD /, '')) };
      return;
    case 'COPY':
      return copy(image, instruction, options, known);
    case 'RUN':
      return runStep(building, instruction, options);
    case 'LABEL':
    case 'EXPOSE':
      return;
    default:
      throw new Error(`${word} is not known here`);
  }
}

async function copy(
  image: Image,
  { flags, rest }: Instruction,
  { context, images, built }: Applying,
  known: Readonly<Record<string, string>>,
): Promise<void> {
  const flag = Object.fromEntries(flags);
  const words = substituted(rest, known).split(/\s+/);
  const from = flag['from'];
  const source = from === undefined ? context : (built[from] ?? images[from])?.root;
  if (source === undefined) throw new Error(`There is nothing to copy from ${from}`);
  const last = words.pop() ?? '';
  const target = path.join(image.root, path.posix.resolve(image.workdir, last));
  const isFolder = last.endsWith('/') || words.length > 1;
  for (const word of words) {
    const found = path.join(source, word);
    const place = isFolder ? path.join(target, path.basename(word)) : target;
    fs.mkdirSync(path.dirname(place), { recursive: true });
    await run('cp', ['-aT', found, place]);
    await run('chown', ['-R', flag['chown'] ?? '0:0', place]);
    if (flag['chmod'] !== undefined) await run('chmod', ['-R', flag['chmod'], place]);
  }
}

async function runStep(
  { image, args }: Building,
  { flags, rest }: Instruction,
  { secrets = {}, caches, env, mounts: given }: Applying,
): Promise<void> {
  const mounts: Record<string, string> = { ...given };
  for (const [name, value] of flags) {
    if (name !== 'mount') throw new Error(`--${name} is not known here`);
    const mount = Object.fromEntries(value.split(',').map((part) => part.split('=')));
    const target = String(mount['target']);
    const file = secrets[String(mount['id'])];
    const owner = `${mount['uid'] ?? 0}:${mount['gid'] ?? 0}`;
    if (mount['type'] === 'cache') {
      mounts[target] = caches(target);
      if (mount['uid'] !== undefined) await run('chown', [owner, caches(target)]);
    } else if (mount['type'] !== 'secret') throw new Error(`${value} is not known here`);
    else if (file !== undefined) {
      // What the engine gives is readable by nobody but the one who is named.
      const secret = `${image.root}.secret-${mount['id']}`;
      await run('install', ['-m', '0400', file, secret]);
      await run('chown', [owner, secret]);
      mounts[target] = secret;
    }
  }
  const done = await runInImage(image, ['/bin/sh', '-c', rest], {
    mounts,
    env: { ...args, ...env },
  });
  if (done.code !== 0)
    throw new Error(`RUN ${rest}\nended with ${done.code}\n${done.stdout}${done.stderr}`);
}
