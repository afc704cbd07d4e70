import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CliResult, startMstore } from '../support/cli.ts';
import { cloneProject, makeProject } from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { stateOf } from '../support/flow-state.ts';
import type { S3Target } from '../support/s3-target.ts';
import { freshFolder, patientRemote } from '../support/service-target.ts';
import { serviceOk, useRemote } from '../support/service-workspace.ts';

/** Whole commands against a server, and how they end where they cannot do their work. */
export function s3Commands(target: S3Target): void {
  describe(`commands with ${target.name}`, () => {
    it('add, push, pull in a clone, edit, push little, pull again', async () => {
      const project = await makeProject();
      const folder = freshFolder();
      const run = (...args: string[]) => serviceOk(project.root, ...args);
      for (const [key, value] of Object.entries(target.settings)) {
        await run('config', 'set', `remote.origin.${key}`, String(value));
      }
      await run('remote', 'add', 'origin', target.url(folder));
      const weights = noise(12_000_000, 'weights');
      project.write('model/weights.bin', weights);
      project.write('model/run.sh', 'echo ok', 0o755);
      await run('add', 'model');
      project.commit();
      const first = (await run('push', '--json')).json.bytesSent ?? 0;
      expect(first).toBeGreaterThanOrEqual(weights.length);
      expect((await run('push', '--json')).json.bytesSent).toBe(0);

      const clone = cloneProject(project);
      await serviceOk(clone.root, 'pull');
      expect(stateOf(clone.root)).toEqual(stateOf(project.root));

      noise(100_000, 'edit').copy(weights, 5_000_000);
      project.write('model/weights.bin', weights);
      await run('add', 'model');
      project.commit();
      const second = (await run('push', '--json')).json.bytesSent ?? 0;
      expect(second).toBeGreaterThanOrEqual(100_000);
      expect(second).toBeLessThan(first / 3);
      fs.cpSync(project.at('model.mstore'), clone.at('model.mstore'));
      await serviceOk(clone.root, 'pull');
      expect(stateOf(clone.root)).toEqual(stateOf(project.root));
      expect(await checkRemote(patientRemote(target, folder))).toBe(2);
    });

    const refused: readonly {
      readonly name: string;
      readonly change?: Partial<S3Target>;
      readonly env?: NodeJS.ProcessEnv;
      readonly code: string;
      readonly reason: string;
    }[] = [
      {
        name: 'a wrong secret',
        env: { AWS_SECRET_ACCESS_KEY: 'wrong' },
        code: 'remote-refused',
        reason: 'bad-credentials',
      },
      {
        name: 'an unknown key',
        env: { AWS_ACCESS_KEY_ID: 'UNKNOWN' },
        code: 'remote-refused',
        reason: 'bad-credentials',
      },
      {
        name: 'no credentials',
        env: { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' },
        code: 'remote-refused',
        reason: 'no-credentials',
      },
      {
        name: 'a bucket that is missing',
        change: { url: (folder) => `s3://no-${folder}/x` },
        code: 'not-a-remote',
        reason: 'no-bucket',
      },
    ];
    it.each(refused)('$name ends a push and a pull with exit code 8', async (refusal) => {
      const project = await makeProject();
      useRemote(project, { ...target, ...refusal.change }, freshFolder());
      project.write('a.bin', noise(1000, 'a'));
      await project.add('a.bin');
      for (const command of ['push', 'fetch']) {
        if (command === 'fetch') {
          fs.rmSync(path.join(project.root, '.modelstore/store'), { recursive: true });
        }
        const result = await runWith(project.root, command, refusal.env ?? {});
        expect(result.code, result.stdout + result.stderr).toBe(8);
        expect(result.json.error).toMatchObject({
          code: refusal.code,
          details: { reason: refusal.reason },
        });
      }
    });
  });
}

function runWith(cwd: string, command: string, env: NodeJS.ProcessEnv): Promise<CliResult> {
  return startMstore(cwd, [command, '--json'], { env: { ...process.env, ...env } }).done;
}
