import { hostname, userInfo } from 'node:os';
import { expect, it } from 'vitest';
import { authorOf } from '../../src/flow/author.ts';
import { initWorkspace } from '../../src/flow/init.ts';
import { makeProject, projectAt, testSurroundings } from '../support/flow-project.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { git } from '../support/git.ts';

const system = `${userInfo().username}@${hostname()}`;

it('takes the configuration, then Git, then user and host', async () => {
  const project = await makeProject();
  const { env } = testSurroundings();
  const authorIn = async (change: NodeJS.ProcessEnv) =>
    authorOf(await project.open({ env: { ...env, ...change } }));
  expect(await authorIn({})).toBe('Test <test@example.com>');
  const nobody = { GIT_AUTHOR_NAME: undefined, GIT_AUTHOR_EMAIL: undefined };
  expect(await authorIn(nobody)).toBe(system);
  git(project.root, 'config', 'user.name', 'Ann');
  git(project.root, 'config', 'user.email', 'ann@example.com');
  expect(await authorIn(nobody)).toBe('Ann <ann@example.com>');
  expect(await authorIn({ MSTORE_CORE_AUTHOR: 'CI of the team' })).toBe('CI of the team');
});

it('is user and host outside of Git', async () => {
  const root = scratchFolder();
  await initWorkspace(root, { git: false }, testSurroundings());
  expect(await authorOf(await projectAt(root).open())).toBe(system);
});

it('is one line, whatever Git says', async () => {
  const project = await makeProject();
  const env = { ...testSurroundings().env, GIT_AUTHOR_NAME: 'Ann\u001b[31m' };
  const author = await authorOf(await project.open({ env }));
  expect(author).toBe('Ann\\u{1b}[31m <test@example.com>');
});
