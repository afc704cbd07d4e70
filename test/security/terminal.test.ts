import * as fs from 'node:fs';
import * as path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { printable } from '../../src/base/names.ts';
import { jsonText, makePaint, safeLine } from '../../src/cli/text.ts';
import { type CliWorkspace, makeWorkspace } from '../support/cli.ts';
import { mstoreHere } from '../support/cli-printed.ts';
import { git } from '../support/git.ts';
import { runs } from '../support/runs.ts';

/** What terminals act on: colours, titles, links (OSC 8), clearing, the second set of controls, direction. */
const attacks = [
  '\u001b[31m',
  '\u001b]0;title\u0007',
  '\u001b]8;;https://example.com\u001b\\link\u001b]8;;\u001b\\',
  '\u001b[2J\u001b[H',
  '\u009b31m',
  '\u0090q\u009c',
  '\u202egnp.exe',
  '\u2066x\u2069',
  '\u061c\u200e\u200f',
  '\u2028\u2029\u0085',
  '\r\b\u007f',
  '\u200b\u2060\ufeff\u00ad',
  '\u{e0041}',
];
const attack = attacks.join('');
/** The part of it that a name of a file may have. */
const nameAttack = ['\u009b31m', '\u202e', '\u2066', '\u061c', '\u200b', '\u0085'].join('x');

const actedOn =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/u;

function expectHarmless(text: string, what: string): void {
  const found = actedOn.exec(text);
  const around = found === null ? '' : text.slice(Math.max(0, found.index - 60), found.index + 20);
  expect(found, `${what}: ${JSON.stringify(around)}`).toBeNull();
}

/** A workspace in which whatever somebody else may write is written to harm. */
async function hostileWorkspace(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  ws.write(`models/file${nameAttack}.bin`, 'one');
  ws.write('models/labels.txt', 'labels');
  ws.write(`single${nameAttack}.bin`, 'two');
  await ws.add('models', `single${nameAttack}.bin`);
  git(ws.root, 'checkout', '-q', '-b', `branch${nameAttack}`);
  git(ws.root, 'remote', 'add', 'origin', `git@example.com:${nameAttack}/x.git`);
  git(ws.root, 'add', '-A');
  git(ws.root, 'commit', '-q', '-m', `Message ${attack}`);
  git(ws.root, 'tag', '-a', '-m', `Tag ${attack}`, 'ranker@v9.0.0');
  ws.write(
    'metadata.json',
    JSON.stringify({ [`key${attack}`]: attack, nested: { [attack]: [attack, { [attack]: 1 }] } }),
  );
  fs.appendFileSync(
    ws.at('.modelstore/config.toml'),
    [
      '',
      '[remote.evil]',
      `url = ${JSON.stringify(`./away${attack}`).replaceAll('\u007f', '\\u007f')}`,
      `sse_key = ${JSON.stringify(attack).replaceAll('\u007f', '\\u007f')}`,
      '',
    ].join('\n'),
  );
  await ws.ok(
    ...['register', 'ranker@v1.0.0', 'models', '--metadata', 'metadata.json'],
    ...['--description', `About ${attack}`, '--changelog', `Line ${attack}`],
    ...['--label', `name${attack}=text${attack}`, '--metric', 'loss=1'],
  );
  await ws.ok(
    'deploy',
    'ranker@v1.0.0',
    '--env',
    'staging',
    '--local',
    '--reason',
    `Why ${attack}`,
  );
  await ws.ok('deprecate', 'ranker@v1.0.0', '--local', '--force', '--reason', `Old ${attack}`);
  // Changed, and beside it what cannot be stored at all.
  ws.write(`models/file${nameAttack}.bin`, 'three');
  ws.write(`models/bad\u001b[31m${nameAttack}`, 'four');
  return ws;
}

const commands: readonly (readonly string[])[] = [
  ['status'],
  ['status', '-v'],
  ['ls'],
  ['ls', 'HEAD'],
  ['diff'],
  ['diff', 'HEAD'],
  ['models'],
  ['versions', 'ranker'],
  ['show', 'ranker@v1.0.0'],
  ['show', 'ranker@v1.0.0', '-v'],
  ['show', 'ranker@v1.0.0', '--metadata'],
  ['history', 'ranker'],
  ['config', 'list'],
  ['config', 'get', 'remote.evil.url'],
  ['config', 'set', 'remote.evil.profile', attack],
  ['remote', 'list'],
  ['remote', 'add', `name${attack}`, './x'],
  ['registry', 'export'],
  ['registry', 'import', '--git-tags', '--dry-run', '--partial'],
  ['push', '--remote', 'evil'],
  ['fetch', '--remote', 'evil'],
  ['remote', 'check', 'evil'],
  ['gc', '--dry-run', '--keep-last', '1'],
  ['gc', '--remote', 'origin', '--dry-run'],
  ['add', 'models'],
  ['add', `none${attack}`],
  ['checkout', `ref${attack}`],
  ['checkout', `ranker@${attack}`],
  ['checkout', '--to', `dir${attack}`],
  ['checkout'],
  ['show', attack],
  ['deploy', attack, '--env', attack],
  ['register', `ranker@${attack}`, 'models'],
  ['register', 'ranker@v2', 'models', '--metric', `${attack}=x`],
  ['register', 'ranker@v2', 'models', '--metrics', `file${attack}`],
  ['textconv', `single${nameAttack}.bin.mstore`],
  ['textconv', 'models.mstore'],
  ['untrack', `none${attack}`],
  ['status', `--option${attack}`],
  [attack],
  ['config', attack],
  ['--get-yargs-completions', 'mstore', 'checkout', '-C', '.', ''],
];

describe('text of somebody else on a terminal', () => {
  it('is shown without what a terminal acts on, and is valid JSON with what it says', async () => {
    const ws = await hostileWorkspace();
    for (const line of commands) {
      const shown = line.map(printable).join(' ');
      const plain = await mstoreHere(ws.root, line);
      expectHarmless(plain.stdout, `${shown} (stdout)`);
      expectHarmless(plain.stderr, `${shown} (stderr)`);
      if (line[0]?.startsWith('--get')) continue;
      const document = await mstoreHere(ws.root, [...line, '--json']);
      expectHarmless(document.stdout, `${shown} --json (stdout)`);
      expectHarmless(document.stderr, `${shown} --json (stderr)`);
      expect(() => JSON.parse(document.stdout), `${shown}: ${document.stdout}`).not.toThrow();
    }
    const { stdout } = await ws.ok('show', 'ranker@v1.0.0', '--json');
    const { record } = JSON.parse(stdout) as { record: Record<string, unknown> };
    expect(record).toMatchObject({
      description: `About ${attack}`,
      changelog: [`Line ${attack}`],
      labels: { [`name${attack}`]: `text${attack}` },
    });
    const told = await ws.ok('show', 'ranker@v1.0.0', '--metadata');
    expect(JSON.parse(told.stdout)).toHaveProperty([`key${attack}`], attack);
  });

  it('is harmless in pointers that cannot be used', async () => {
    const ws = await makeWorkspace();
    const digest = '0'.repeat(64);
    const pointers: ReadonlyArray<object | string> = [
      `{"${attack}`,
      { mstore: 1, path: attack, kind: 'file', sha256: digest, size: 1 },
      { mstore: 1, path: `evil${nameAttack}`, kind: attack, sha256: digest, size: 1 },
      {
        mstore: 1,
        path: `evil${nameAttack}`,
        kind: 'tree',
        sha256: digest,
        size: 1,
        files: [{ path: `a/../${attack}`, size: 1, sha256: digest }],
      },
      {
        mstore: 1,
        path: `evil${nameAttack}`,
        kind: 'tree',
        sha256: digest,
        size: 0,
        files: [{ path: `a${nameAttack}`, link: `../${attack}` }],
      },
    ];
    for (const pointer of pointers) {
      const text = typeof pointer === 'string' ? pointer : JSON.stringify(pointer);
      ws.write(`evil${nameAttack}.mstore`, text);
      for (const line of [['status'], ['checkout'], ['status', '--json'], ['ls', '-v']]) {
        const { code, stdout, stderr } = await mstoreHere(ws.root, line);
        expect(code).not.toBe(0);
        expectHarmless(stdout, `${text} ${line.join(' ')}`);
        expectHarmless(stderr, `${text} ${line.join(' ')}`);
      }
    }
  });

  it('is harmless in the names that a remote lists', async () => {
    const ws = await makeWorkspace();
    ws.write('model.bin', 'model');
    await ws.add('model.bin');
    await ws.push();
    fs.writeFileSync(path.join(ws.remote, `index/x\u001b[31m${nameAttack}`), 'x');
    fs.mkdirSync(path.join(ws.remote, `packs/\u001b]0;x\u0007${nameAttack}`));
    fs.mkdirSync(path.join(ws.remote, `refs/models/\u001b[31m${nameAttack}`), { recursive: true });
    for (const line of [
      ['push'],
      ['fetch'],
      ['models', '--remote', 'origin'],
      ['remote', 'check'],
    ]) {
      const { stdout, stderr } = await mstoreHere(ws.root, line);
      expectHarmless(stdout + stderr, line.join(' '));
    }
  });
});

describe('jsonText', () => {
  it('is read back as the same value, and holds nothing that a terminal acts on', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(...attacks), (value, more) => {
        for (const indent of [undefined, 2]) {
          const text = jsonText({ value, [more]: more }, indent);
          expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify({ value, [more]: more })));
          expect(actedOn.test(text)).toBe(false);
        }
      }),
      runs(100),
    );
  });
});

describe('safeLine', () => {
  const paint = makePaint(true);

  it('keeps our colours and ends of lines where colours are in use, and nothing else', () => {
    const ours = [
      paint.good('a'),
      paint.bad('b'),
      paint.changed('c'),
      paint.faint('d'),
      paint.strong('e'),
    ];
    const line = `${ours.join(' ')}\nnext`;
    expect(safeLine(line, true)).toBe(line);
    expectHarmless(safeLine(line, false), 'without colours');
    expect(safeLine('\u001b[8mhidden\u001b[5m', true)).toBe('\\u{1b}[8mhidden\\u{1b}[5m');
  });

  it('lets nothing through of what terminals act on', () => {
    for (const one of attacks.filter((text) => text !== '\u001b[31m')) {
      expectHarmless(safeLine(`x${one}y`, true), JSON.stringify(one));
    }
    expectHarmless(safeLine(attack, false), 'all');
  });

  it('leaves what is printable as it is', () => {
    for (const text of ['plain', 'Größe 模型 👩‍💻 نموذج', printable(attack)]) {
      expect(safeLine(text, true)).toBe(text);
      expect(printable(text)).toBe(text);
    }
  });
});
