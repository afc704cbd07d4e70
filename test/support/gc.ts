import type { Clock } from '../../src/base/clock.ts';
import { cleanUp, type GcResult } from '../../src/flow/gc/gc.ts';
import type { GcOptions } from '../../src/flow/gc/options.ts';
import { type GcPlace, localPlace, remotePlace } from '../../src/flow/gc/place.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { register } from '../../src/flow/register.ts';
import { chooseRemote, chooseToClear } from '../../src/flow/remotes.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { emptyRemote, makeProject, type Project, withRemotes } from './flow-project.ts';

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

/** A clock that is moved by hand. */
export interface HandClock extends Clock {
  pass(ms: number): void;
}

/** Makes a clock that stands still until it is told. */
export function handClock(start = Date.now()): HandClock {
  let passed = 0;
  return {
    now: () => start + passed,
    monotonic: () => passed,
    pass(ms) {
      passed += ms;
    },
  };
}

/** A project with Git and a remote whose clock is moved by hand. */
export interface GcProject {
  readonly project: Project;
  readonly remote: RemotePruner;
  /** The clock of the remote and of the project. */
  readonly clock: HandClock;
  gc(options?: GcOptions): Promise<GcResult>;
  gcRemote(options?: GcOptions): Promise<GcResult>;
}

/** Makes a project with a remote. */
export async function makeGcProject(): Promise<GcProject> {
  const clock = handClock();
  const remote = await emptyRemote('memory://test', clock);
  const project = await makeProject(withRemotes({ origin: remote }, { clock }));
  return { project, remote, clock, ...cleaners(project) };
}

/** Cleans up the places of a project. */
export function cleaners(project: Project): Pick<GcProject, 'gc' | 'gcRemote'> {
  return {
    async gc(options = {}) {
      const workspace = await project.open();
      return cleanUp(workspace, await localPlace(workspace), options);
    },
    async gcRemote(options = {}) {
      const workspace = await project.open();
      return cleanUp(workspace, await remoteOf(project), options);
    },
  };
}

/** The remote of a project as a place to clean up. */
export async function remoteOf(project: Project): Promise<GcPlace> {
  const workspace = await project.open();
  const chosen = await chooseToClear(workspace, 'memory://origin', project.root);
  return remotePlace(workspace, chosen);
}

/** Registers a version of a tracked path and pushes it. */
export async function publishVersion(
  project: Project,
  model: string,
  version: string,
  path: string,
): Promise<void> {
  const workspace = await project.open();
  await register(workspace, { model, version, path });
  const chosen = await chooseRemote(workspace, 'memory://origin', project.root);
  await pushWithVersions(workspace, [], chosen, { registry: 'all' });
}

/** Deletes a version on the remote. */
export async function deleteVersion(
  project: Project,
  model: string,
  version: string,
): Promise<void> {
  const workspace = await project.open();
  const remote = await chooseRemote(workspace, 'memory://origin', project.root);
  await setVersionState(workspace, { model, version, state: 'deleted' }, { remote });
}
