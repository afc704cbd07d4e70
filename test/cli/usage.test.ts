import { spawn } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { cliEnv, expectError, makeWorkspace, mstore, workspaceAt } from '../support/cli.ts';
import { program, programArgs } from '../support/program.ts';
import { tempFolder } from '../support/temp.ts';

describe('a usage error ends with 2, says what is wrong and what to do', () => {
  test.each([
    ['no command', '', /^Name a command$/, /^Run "mstore --help"$/],
    ['an unknown command', 'frobnicate', /^Unknown command: frobnicate$/, /mstore --help/],
    ['a misspelt command', 'statsu', /^Unknown command: statsu$/, /^Did you mean status\?$/],
    ['an unknown option', 'add --frob a', /^Unknown option: --frob$/, /^Run "mstore add --help"$/],
    ['an option before no command', '--frob', /^Unknown option: --frob$/, /mstore --help/],
    ['a missing argument', 'add', /argument is missing$/, /^Run "mstore add --help"$/],
    ['an argument too many', 'init here', /^Unknown argument: here$/, /mstore init --help/],
    ['an option with a typo', 'push --jbos 2', /^Unknown option: --jbos$/, /mstore push --help/],
    ['an empty destination', ['checkout', '--to', ''], /^--to names no directory$/, /--to DIR/],
    ['an option without its value', 'push --jobs', /following: jobs$/, /mstore push --help/],
    [
      'no number of jobs',
      'push --jobs many',
      /^--jobs needs a number from 1 to \d+, not many$/,
      /at once/,
    ],
    ['no rate', 'push --rate-limit 100Mbit', /^--rate-limit cannot be 100Mbit$/, /20MB/],
    ['no jobs at all', 'push --jobs 0', /^--jobs needs a number from 1 to \d+, not 0$/, /at once/],
    [
      'an unknown way to link',
      'checkout --link copy,magic',
      /^--link does not know .*magic$/,
      /copy, reflink, hardlink, symlink/,
    ],
    [
      'an unknown action',
      'remote forget',
      /no action "forget"; there are add, list, remove, check, uploads, policy, recipients, rekey$/,
      /mstore remote --help/,
    ],
    ['a remote without a name', 'remote add', /^The name of the remote is missing$/, /NAME DIR/],
    [
      'an age of uploads that may be under way',
      'remote uploads --end-older-than 59m',
      /^--end-older-than cannot be 59m$/,
      /24h or 7d/,
    ],
    ['an age that is none', 'remote uploads --end-older-than 1y', /cannot be 1y$/, /24h or 7d/],
    ['nothing to do for show', 'remote uploads --dry-run', /^--dry-run does nothing/, /24h/],
    ['--json where bytes are asked for', 'cat a', /^cat prints the bytes/, /Leave --json out/],
    ['many versions to one place', 'pull --all-versions', /names many$/, /fetch --all-versions/],
  ] as ReadonlyArray<[string, string | string[], RegExp, RegExp]>)('%s', async (...row) => {
    const [, line, message, hint] = row;
    const ws = await makeWorkspace();
    ws.write('a', 'a');
    await ws.add('a');
    const args = typeof line === 'string' ? line.split(' ').filter(Boolean) : line;
    expectError(await ws.run('--json', ...args), { code: 'usage', message, hint });
  });

  test('as text on standard error, in two lines and without a stack', async () => {
    const { code, stdout, stderr } = await mstore(tempFolder(), 'statsu');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toBe('error: Unknown command: statsu [usage]\nhint: Did you mean status?\n');
  });

  test('a stack only with -v', async () => {
    const { code, stdout, stderr } = await mstore(tempFolder(), 'status', '-v');
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(
      /^error: No mstore workspace in .*\[no-workspace\]\nhint: Run "mstore init"/,
    );
    expect(stderr).toMatch(/\n {4}at /);
  });

  test('a language of the user changes none of it', async () => {
    const run = spawn(program, [...programArgs, 'statsu'], {
      env: { ...cliEnv, LC_ALL: 'de_DE.UTF-8', LANG: 'de_DE.UTF-8', LANGUAGE: 'de' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    for await (const part of run.stderr) stderr += part;
    expect(stderr).toMatch(/^error: Unknown command: statsu.*\nhint: Did you mean status\?$/m);
  });

  test('what is hostile in an argument is printed escaped', async () => {
    const ws = workspaceAt(tempFolder(), '');
    for (const args of [['\u001b[31mred'], ['push', '--jobs', '\u001b]0;title\u0007']]) {
      const { code, stderr } = await ws.run(...args);
      expect(code).toBe(2);
      expect(stderr).toContain('\\u{1b}');
      expectNoControls(stderr);
    }
  });
});

describe('help', () => {
  test('of all commands, and of one, is on standard output and ends with 0', async () => {
    const folder = tempFolder();
    for (const args of [['--help'], ['-h'], ['help']]) {
      const { code, stdout, stderr } = await mstore(folder, ...args);
      expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
      for (const word of ['init', 'checkout', 'Exit codes', '--jobs']) {
        expect(stdout).toContain(word);
      }
    }
    const { code, stdout } = await mstore(folder, 'checkout', '--help');
    expect(code).toBe(0);
    for (const word of ['--to', '--link', 'mstore checkout v1']) {
      expect(stdout).toContain(word);
    }
  });

  test('--version is one line', async () => {
    const { code, stdout } = await mstore(tempFolder(), '--version');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
  });
});

describe('a reader that goes away', () => {
  test('ends ls and cat quietly', async () => {
    const ws = await makeWorkspace();
    for (let i = 0; i < 900; i++) ws.write(`bert/${'x'.repeat(200)}${i}`, '');
    ws.write('a.onnx', Buffer.alloc(4_000_000));
    await ws.add('bert', 'a.onnx');
    for (const line of ['ls', 'cat a.onnx', '--json ls']) {
      expect(await piped(ws.root, line, 'head -c 10')).toEqual({ code: 0, stderr: '' });
    }
  });

  test('of standard error does not stop the work', async () => {
    const ws = await makeWorkspace();
    ws.write('a.onnx', 'a');
    const { code } = await piped(ws.root, 'add a.onnx', 'true', '2>&1');
    expect(code).toBe(0);
    expect(ws.read('a.onnx.mstore').toString()).toContain('"path": "a.onnx"');
  });

  /** Runs the command line in front of a pipe; its own exit code and standard error. */
  async function piped(
    cwd: string,
    line: string,
    reader: string,
    redirect = '',
  ): Promise<{ code: number; stderr: string }> {
    const script = `{ "$0" "$@" ${line} ${redirect}; echo "code $?" >&3; } | ${reader} >/dev/null`;
    const run = spawn('sh', ['-c', script, program, ...programArgs], {
      cwd,
      env: cliEnv,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    });
    let stderr = '';
    let code = '';
    run.stderr?.on('data', (part) => {
      stderr += part;
    });
    run.stdio[3]?.on('data', (part) => {
      code += part;
    });
    await new Promise((resolve) => run.once('close', resolve));
    return { code: Number(code.replace('code ', '')), stderr };
  }
});

describe('names of a hostile repository', () => {
  test('reach no terminal unescaped', async () => {
    const ws = await makeWorkspace();
    const name = 'evil\u001b[2J\u202egpj.exe';
    ws.write(`${name}.mstore`, '{"mstore":1}');
    for (const line of ['status', 'ls', 'checkout', 'diff']) {
      const { code, stdout, stderr } = await ws.run(line);
      expect(code, line).toBe(5);
      expect(stdout + stderr).toContain('evil\\u{1b}[2J\\u{202e}gpj.exe');
      expectNoControls(stdout + stderr);
    }
  });
});

function expectNoControls(text: string): void {
  expect([...text].filter((c) => (c < ' ' && c !== '\n') || c === '\u202e')).toEqual([]);
}
