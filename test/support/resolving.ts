import * as fs from 'node:fs';
import * as path from 'node:path';
import { deploy } from '../../src/flow/environments.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { register } from '../../src/flow/register.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import {
  type ResolvedModel,
  type ResolveOptions,
  resolveModel,
} from '../../src/flow/resolve/resolve.ts';
import { type Surroundings, systemSurroundings } from '../../src/flow/surroundings.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { type CliWorkspace, cliEnv, makeWorkspace } from './cli.ts';
import { tempFolder } from './temp.ts';

/** A folder of a host without any workspace, with a cache of its own. */
export interface Host {
  readonly folder: string;
  readonly cache: string;
  readonly env: NodeJS.ProcessEnv;
  readonly surroundings: Surroundings;
  resolve(reference?: string, options?: ResolveOptions): Promise<ResolvedModel>;
}

/** Makes a {@link Host}; requests that fail are tried again at once. */
export function makeHost(env: NodeJS.ProcessEnv = {}, more: Partial<Surroundings> = {}): Host {
  const top = tempFolder();
  const [folder, cache] = [path.join(top, 'host'), path.join(top, 'cache')];
  fs.mkdirSync(folder);
  return hostAt(folder, cache, { HOME: top, ...env }, more);
}

/** The same for a folder that is there, such as one of a workspace. */
export function hostAt(
  folder: string,
  cache: string,
  env: NodeJS.ProcessEnv = {},
  more: Partial<Surroundings> = {},
): Host {
  const all = { ...cliEnv, MSTORE_CACHE: cache, ...env };
  const surroundings = { ...systemSurroundings(all), sleep: async () => {}, ...more };
  return {
    folder,
    cache,
    env: all,
    surroundings,
    resolve: (reference, options = {}) =>
      resolveModel(reference, { cwd: folder, surroundings, jobs: 1, ...options }),
  };
}

/** A workspace with a model in versions that are pushed to its directory remote. */
export interface Published extends CliWorkspace {
  /** Gives `models/bert` these files, registers them and pushes; returns the digest of the record. */
  publish(version: string, files: Readonly<Record<string, string | Buffer>>): Promise<string>;
  /** Makes a version live in production. */
  deploy(version: string): Promise<void>;
}

/** Makes a {@link Published}. */
export async function makePublished(): Promise<Published> {
  const ws = await makeWorkspace();
  return {
    ...ws,
    async publish(version, files) {
      fs.rmSync(ws.at('models/bert'), { recursive: true, force: true });
      for (const [name, bytes] of Object.entries(files)) ws.write(`models/bert/${name}`, bytes);
      await ws.add('models/bert');
      const workspace = await ws.open();
      const { record } = await register(workspace, { model: 'bert', version });
      const remote = await chooseRemote(workspace, undefined, ws.root);
      const { tracked } = await findTargets(workspace, [], ws.root);
      await pushWithVersions(workspace, tracked, remote, { registry: 'all' });
      return record.sha256;
    },
    async deploy(version) {
      const workspace = await ws.open();
      const remote = await chooseRemote(workspace, undefined, ws.root);
      const place = { model: 'bert', version, environment: 'production' };
      await deploy(workspace, place, { remote });
    },
  };
}

/** Two versions on a remote, of which the first is live in production. */
export async function publishTwo(
  first: Readonly<Record<string, string>>,
  second: Readonly<Record<string, string>>,
) {
  const ws = await makePublished();
  const v1 = await ws.publish('v1', first);
  const v2 = await ws.publish('v2', second);
  await ws.deploy('v1');
  return { ws, v1, v2, remotes: [ws.remote] };
}

/** The files below a directory, by path, with their bytes as text. */
export function textsBelow(directory: string): Record<string, string> {
  const found = fs.readdirSync(directory, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    found
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const full = path.join(entry.parentPath, entry.name);
        return [path.relative(directory, full), fs.readFileSync(full, 'latin1')] as const;
      })
      .sort(),
  );
}

/** Changes a file of a directory that is read-only. */
export function damage(file: string, change: (file: string) => void): void {
  fs.chmodSync(path.dirname(file), 0o755);
  if (fs.existsSync(file)) fs.chmodSync(file, 0o644);
  change(file);
}
