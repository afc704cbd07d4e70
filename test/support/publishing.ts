import {
  type PublishRequest,
  type PublishResult,
  publish,
} from '../../src/flow/publish/publish.ts';
import { type Registration, register } from '../../src/flow/register.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { makePlainProject, type Project, type SurroundingsChange } from './flow-project.ts';
import { tempFolder } from './temp.ts';

/** A workspace from which versions of `models/bert` are published. */
export interface Publisher {
  readonly project: Project;
  /** Its environment, which may be changed. */
  readonly env: NodeJS.ProcessEnv;
  /** Registers what the files are now. */
  version(
    name: string,
    files: Readonly<Record<string, string | Buffer>>,
    more?: Partial<Registration>,
  ): Promise<void>;
  publish(ref: string, to: string, more?: Partial<PublishRequest>): Promise<PublishResult>;
}

/** Makes a {@link Publisher}; requests that fail are sent again at once. */
export async function makePublisher(
  env: NodeJS.ProcessEnv,
  more: SurroundingsChange = {},
): Promise<Publisher> {
  const whole: NodeJS.ProcessEnv = { ...env, HOME: tempFolder() };
  const change = { env: whole, sleep: async () => {}, ...more };
  const project = await makePlainProject(change);
  return {
    project,
    env: whole,
    async version(version, files, more = {}) {
      for (const [name, content] of Object.entries(files)) {
        project.write(`models/bert/${name}`, content);
      }
      await project.add('models/bert');
      const registration = { model: 'bert', version, path: 'models/bert', ...more };
      await register(await project.open(), registration);
    },
    async publish(ref, to, more = {}) {
      const workspace = await project.open();
      const targets = await findTargets(workspace, [ref], project.root);
      return publish(workspace, targets, { to, ...more });
    },
  };
}
