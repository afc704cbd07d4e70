import { invariant } from '../../../src/base/errors.ts';
import { openGit } from '../../../src/git/open.ts';
import { gitTestEnv } from '../../support/git.ts';
import { gitSuite } from './git-suite.ts';

for (const prefer of ['binary', 'isomorphic'] as const) {
  gitSuite(prefer, async (dir, env = gitTestEnv) => {
    const repo = await openGit(dir, { prefer, env });
    invariant(repo?.kind === prefer, `a repository opened by ${prefer}`);
    return repo;
  });
}
