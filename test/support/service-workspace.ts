import { expect } from 'vitest';
import { systemClock, systemRandom } from '../../src/base/clock.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { initRemote } from '../../src/store/remote-store.ts';
import { type CliResult, type RunningCli, startMstore } from './cli.ts';
import type { Project } from './flow-project.ts';
import { freshFolder, patientRemote, type ServiceTarget } from './service-target.ts';

/** Makes `origin` of a workspace a folder of a service, by the configuration of this machine. */
export function useRemote(project: Project, target: ServiceTarget, folder: string): void {
  const lines = Object.entries({ url: target.url(folder), ...target.settings }).map(
    ([key, value]) => `${key} = ${JSON.stringify(value)}\n`,
  );
  project.write('.modelstore/config.local.toml', `[remote.origin]\n${lines.join('')}`);
}

/** A folder of a service that is an empty remote. */
export interface ServiceRemote {
  readonly folder: string;
  readonly remote: RemotePruner;
}

/** Makes an empty remote in a folder of its own. */
export async function newServiceRemote(target: ServiceTarget): Promise<ServiceRemote> {
  const folder = freshFolder();
  const remote = patientRemote(target, folder);
  await initRemote(remote, systemClock, systemRandom);
  return { folder, remote };
}

/** Starts the command line with what this process now knows of services: credentials, mostly. */
export function startWithService(cwd: string, ...args: string[]): RunningCli {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^(?:AWS_|GOOGLE_|STORAGE_)/.test(name)),
  );
  return startMstore(cwd, args, { env });
}

/** Runs the command line, which must succeed, with what this process now knows of services. */
export async function serviceOk(cwd: string, ...args: string[]): Promise<CliResult> {
  const result = await startWithService(cwd, ...args).done;
  expect(result.code, `mstore ${args.join(' ')}: ${result.stdout}${result.stderr}`).toBe(0);
  return result;
}
