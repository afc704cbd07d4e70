import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { GitRepository } from '../../../src/git/repository.ts';
import { commitFiles, git, gitTestEnv, makeRepo, tempFolder } from '../../support/git.ts';

type Open = (dir: string, env?: NodeJS.ProcessEnv) => Promise<GitRepository>;

/** An environment without names of an author, whose home is an empty folder. */
function bareEnv(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const others = Object.entries(gitTestEnv).filter(
    ([name]) => !/^GIT_|^EMAIL$|^XDG_CONFIG_HOME$/.test(name),
  );
  return { ...Object.fromEntries(others), GIT_CONFIG_NOSYSTEM: '1', HOME: tempFolder(), ...more };
}

function homeFile(env: NodeJS.ProcessEnv, name: string, text: string): void {
  const file = path.join(env.HOME ?? '', name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

const ann = '[user]\n\tname = Ann\n\temail = ann@example.com\n';

/** Who Git would name as the author. */
export function identitySuite(open: Open): void {
  const identity = async (root: string, env: NodeJS.ProcessEnv) =>
    (await open(root, env)).identity();

  describe('identity', () => {
    it('is that of the variables, the repository, the user: the first that is set', async () => {
      const root = makeRepo();
      const env = bareEnv();
      expect(await identity(root, env)).toBeUndefined();
      homeFile(env, '.config/git/config', '[user]\n name = Weakest\n');
      expect(await identity(root, env)).toBeUndefined();
      homeFile(env, '.gitconfig', ann);
      expect(await identity(root, env)).toBe('Ann <ann@example.com>');
      git(root, 'config', 'user.email', 'ann@work.example.com');
      expect(await identity(root, env)).toBe('Ann <ann@work.example.com>');
      git(root, 'config', 'author.name', 'Dr. Ann Ör, "PhD"');
      expect(await identity(root, env)).toBe('Dr. Ann Ör, "PhD <ann@work.example.com>');
      const variables = { GIT_AUTHOR_NAME: ' <Bob>. ', GIT_AUTHOR_EMAIL: 'b@example.com' };
      expect(await identity(root, { ...env, ...variables })).toBe('Bob <b@example.com>');
      const mailOnly = { ...env, GIT_AUTHOR_EMAIL: 'b@example.com' };
      expect(await identity(root, mailOnly)).toBe('Dr. Ann Ör, "PhD <b@example.com>');
    });

    it('is not made up from the names of user and host', async () => {
      const root = makeRepo();
      git(root, 'config', 'user.name', 'Ann');
      expect(await identity(root, bareEnv({ EMAIL: 'made@up.example.com' }))).toBeUndefined();
      git(root, 'config', 'user.name', '...');
      git(root, 'config', 'user.email', 'ann@example.com');
      expect(await identity(root, bareEnv())).toBeUndefined();
    });

    it('is found where variables say the configuration is', async () => {
      const root = makeRepo();
      const file = path.join(tempFolder(), 'config');
      fs.writeFileSync(file, ann);
      const expected = 'Ann <ann@example.com>';
      expect(await identity(root, bareEnv({ GIT_CONFIG_GLOBAL: file }))).toBe(expected);
      const system = bareEnv({ GIT_CONFIG_SYSTEM: file, GIT_CONFIG_NOSYSTEM: undefined });
      expect(await identity(root, system)).toBe(expected);
      expect(await identity(root, { ...system, GIT_CONFIG_NOSYSTEM: 'true' })).toBeUndefined();
      const xdg = bareEnv({ XDG_CONFIG_HOME: tempFolder() });
      fs.mkdirSync(path.join(xdg.XDG_CONFIG_HOME ?? '', 'git'));
      fs.writeFileSync(path.join(xdg.XDG_CONFIG_HOME ?? '', 'git/config'), ann);
      expect(await identity(root, xdg)).toBe(expected);
      const single = {
        GIT_CONFIG_GLOBAL: os.devNull,
        GIT_CONFIG_COUNT: '2',
        GIT_CONFIG_KEY_0: 'User.Name',
        GIT_CONFIG_VALUE_0: 'Cy',
        GIT_CONFIG_KEY_1: 'user.email',
        GIT_CONFIG_VALUE_1: 'cy@example.com',
      };
      expect(await identity(root, bareEnv(single))).toBe('Cy <cy@example.com>');
    });

    it('follows included files, also those for a folder or a branch', async () => {
      const env = bareEnv();
      const work = path.join(env.HOME ?? '', 'work/team/repo');
      fs.mkdirSync(work, { recursive: true });
      git(work, 'init', '-q');
      commitFiles(work, { a: '1' });
      homeFile(env, 'mails/work', '[user]\n email = ann@work.example.com\n');
      homeFile(env, 'mails/name', '[user]\n name = Ann Included\n');
      const conditions = [
        ['gitdir:~/work/', true],
        ['gitdir:work/', true],
        ['gitdir:~/WORK/', false],
        ['gitdir/i:~/WORK/', true],
        ['gitdir:~/work/*/repo/.git', true],
        ['gitdir:~/work/*/.git', false],
        ['gitdir:./work/**', true],
        ['gitdir:~/other/', false],
        ['onbranch:main', true],
        ['onbranch:ma*', true],
        ['onbranch:side/', false],
        ['unknown:x', false],
      ] as const;
      for (const [condition, met] of conditions) {
        const include = `[include]\n path = mails/name\n[includeIf "${condition}"]\n path = ~/mails/work\n`;
        homeFile(env, '.gitconfig', ann + include);
        const mail = met ? 'ann@work.example.com' : 'ann@example.com';
        expect([condition, await identity(work, env)]).toEqual([
          condition,
          `Ann Included <${mail}>`,
        ]);
      }
      // A file that includes itself ends somewhere.
      homeFile(env, '.gitconfig', ann);
      homeFile(env, 'mails/name', '[include]\n path = absent\n');
      git(work, 'config', 'include.path', path.join(env.HOME ?? '', 'mails/name'));
      expect(await identity(work, env)).toBe('Ann <ann@example.com>');
    });
  });
}
