import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { auditKey } from '../../src/registry/audit.ts';
import { type CliWorkspace, expectError, makeWorkspace } from '../support/cli.ts';

let ws: CliWorkspace;
let line: (number: number) => string;

beforeEach(async () => {
  ws = await makeWorkspace();
  line = (number) => path.join(ws.remote, auditKey(number));
  ws.write('model/weights', 'one');
  await ws.add('model');
  await ws.ok('config', 'set', 'core.author', 'Ann <ann@example.com>');
  await ws.ok('register', 'm@v1', 'model');
  await ws.ok('push');
  await ws.ok('deploy', 'm@v1', '--env', 'production');
});

describe('mstore audit', () => {
  it('shows who did what, the newest first', async () => {
    const { stdout, stderr } = await ws.ok('audit');
    const [head, ...rows] = stdout.trimEnd().split('\n');
    expect(head).toMatch(/^#\s+WHEN\s+ACT\s+WHAT\s+BY$/);
    expect(rows).toEqual([
      expect.stringMatching(/^3 .* deploy +m@v1 production +Ann <ann@example\.com>$/),
      expect.stringMatching(/^2 .* push +1 object +Ann/),
      expect.stringMatching(/^1 .* begin +Ann/),
    ]);
    expect(stderr).toBe('');
    const limited = await ws.ok('audit', '--limit', '1', '--since', '1h', '--model', 'm');
    expect(limited.stdout.trimEnd().split('\n')).toHaveLength(2);
    expect(limited.stderr).toContain('Not shown: older lines');
    const since = await ws.ok('audit', '--since', '2990-01-01');
    expect(since.stdout).toBe('');
  });

  it('exports lines of JSON, the oldest first', async () => {
    const { stdout } = await ws.ok('audit', '--jsonl');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text) as object);
    expect(lines).toMatchObject([
      { number: 1, act: 'begin', previous: null },
      { number: 2, act: 'push' },
      { number: 3, act: 'deploy', environment: 'production', version: 'v1' },
    ]);
    const [, second, third] = lines as Array<{ sha256: string; previous: string }>;
    expect(third?.previous).toBe(second?.sha256);
  });

  it('says that nothing was tampered with, or what was', async () => {
    const sound = await ws.ok('audit', '--check');
    expect(sound.stderr).toBe('Checked 3 lines and 2 objects: nothing was tampered with\n');
    fs.rmSync(path.join(ws.remote, 'refs/models/m/environments/production/00000001.json'));
    const bytes = fs.readFileSync(line(2), 'utf8');
    fs.chmodSync(line(2), 0o600);
    fs.writeFileSync(line(2), bytes.replace('Ann', 'Eve'));
    const { code, stderr } = await ws.run('audit', '--check');
    expect(code).toBe(5);
    expect(stderr).toContain('00000002.json cannot be used: its content does not fit its digest');
    expect(stderr).toContain('production/00000001.json is gone, and was logged');
    expect(stderr).toContain('not logged: refs/models/m/versions/v1.json');
    expect(stderr).toMatch(/Checked 3 lines and 1 object: see the errors\n$/);
    const json = await ws.run('audit', '--check', '--json');
    expect(json.json).toMatchObject({
      lines: 3,
      problems: [{ code: 'corrupt-audit' }, { code: 'corrupt-audit' }],
    });
    for (const how of [[], ['--jsonl'], ['--json']]) {
      expect((await ws.run('audit', ...how)).code).toBe(5);
    }
  });

  it('notices an end that was cut off, and follows it when it is told to', async () => {
    fs.rmSync(line(3));
    const cut = await ws.run('audit');
    expect(cut.code).toBe(5);
    expect(cut.stderr).toMatch(/ends with line 2, and line 3 was seen here \[corrupt-audit\]/);
    expect(cut.stderr).toContain('mstore audit --forget');
    const moved = await ws.ok('deploy', 'm@v1', '--env', 'staging');
    expect(moved.stderr).toMatch(/warning: .*line 3 was seen here/);
    const forgot = await ws.ok('audit', '--forget');
    expect(forgot.stderr).toBe('Forgot line 3 of origin\n');
    await ws.ok('audit');
  });

  it.each([
    [['--check', '--jsonl'], /--check and --jsonl do not go together/],
    [['--check', '--model', 'm'], /--check and --model do not go together/],
    [['--jsonl', '--limit', '3'], /--jsonl and --limit do not go together/],
    [['--limit', '0'], /--limit needs a number/],
    [['--since', 'soon'], /--since needs a date/],
  ])('refuses %j', async (args, message) => {
    expectError(await ws.run('audit', '--json', ...args), { code: 'usage', message, hint: /./ });
  });

  it('refuses what names no model', async () => {
    const told = { code: 'bad-name', message: /M!/, hint: /./ } as const;
    expectError(await ws.run('audit', '--json', '--model', 'M!'), told);
  });
});
