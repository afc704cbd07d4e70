import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CliWorkspace, cliEnv, makeWorkspace } from '../support/cli.ts';
import { git } from '../support/git.ts';
import { tempFolder } from '../support/temp.ts';

const marker = 'pwned-by-completion';

/** Names that Git or mstore takes, and a shell would act on. */
const hostileTags = [
  `a$(touch\${IFS}${marker})`,
  `a\`touch\${IFS}${marker}\``,
  `a;touch\${IFS}${marker}`,
  `a|touch\${IFS}${marker}`,
  `a&touch\${IFS}${marker}`,
  `a>${marker}`,
  `a<(touch\${IFS}${marker})`,
  "a'b",
  'a"b',
  'a!b',
  'a#b',
  'a{b,c}',
  'a\u009b31mb',
  'a\u202eb',
];
const harmlessTags = ['a-1.0', 'a/b_c', 'aé+1', 'a@1'];

async function workspaceWithNames(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  for (const name of ['a b.bin', `a $(touch ${marker}) x.bin`, `a "x" $(touch ${marker}).bin`]) {
    ws.write(name, 'content');
    await ws.add(name);
  }
  git(ws.root, 'add', '-A');
  git(ws.root, 'commit', '-q', '-m', 'All');
  for (const name of [...hostileTags, ...harmlessTags]) {
    git(ws.root, 'update-ref', `refs/tags/${name}`, 'HEAD');
  }
  return ws;
}

describe('completion in a repository of somebody else', () => {
  it('proposes no name that a shell would act on', async () => {
    const ws = await workspaceWithNames();
    const { stdout } = await ws.run('--get-yargs-completions', 'mstore', 'checkout', 'a');
    const proposed = stdout.split('\n').filter((line) => line !== '');
    expect(proposed.sort()).toEqual(['a b.bin', ...harmlessTags].sort());
  });

  it('proposes no path that would be taken for an option', async () => {
    const ws = await makeWorkspace();
    ws.write('-rf', 'content');
    await ws.add('-rf');
    const { stdout } = await ws.run('--get-yargs-completions', 'mstore', 'checkout', '');
    expect(stdout).not.toContain('-rf');
  });

  it('leaves nothing to run on the command line of bash', async () => {
    const ws = await workspaceWithNames();
    const bin = tempFolder();
    const program = path.resolve(import.meta.dirname, '../../bin/mstore.js');
    fs.writeFileSync(
      path.join(bin, 'mstore'),
      `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`,
      { mode: 0o755 },
    );
    const script = [
      'eval "$(mstore completion)"',
      'COMP_WORDS=(mstore checkout a); COMP_CWORD=2',
      '_mstore_yargs_completions',
      // What Enter does with each of the words that Tab put there.
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is an array of bash
      'for word in "${COMPREPLY[@]}"; do eval "printf \'%s\\n\' $word"; done',
    ].join('\n');
    const env = { ...cliEnv, PATH: `${bin}${path.delimiter}${cliEnv['PATH']}`, SHELL: '/bin/bash' };
    const said = execFileSync('bash', ['-c', script], { cwd: ws.root, env, encoding: 'utf8' });
    // In the locale of the tests bash drops what is not ASCII.
    expect(said.split('\n')).toEqual(expect.arrayContaining(['a b.bin', 'a-1.0', 'a/b_c', 'a@1']));
    expect(fs.existsSync(ws.at(marker))).toBe(false);
  });
});
