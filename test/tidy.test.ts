import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { errorCodes } from '../src/base/errors.ts';
import {
  badFileNames,
  compareExceptions,
  compareLengths,
  consoleUses,
  fileLength,
  functionLengths,
  loneTests,
  machineTraces,
  outsideUses,
  type SourceText,
  undocumented,
  unnumberedMarks,
} from './support/source-checks.ts';

/*
 * The source is tested too. Exceptions may only shrink: one that is no longer needed, or is larger than
 * what it excuses, fails as well.
 */
const functionLinesMax = 70;
const fileLinesMax = 400;
const longFunctions: Record<string, number> = {};
const longFiles: Record<string, number> = {};

/** Uses of time, chance, environment and streams outside of their homes. */
const outsideExceptions = [
  // Measures how long the event loop was held, which shows in nothing but its turns.
  'src/base/abort.ts performance.now',
  // Tells a slow disk by the time of its first writes; which way bytes take is all that depends on it.
  'src/base/direct-file.ts performance.now',
  // Tells memory from disk by the time of one read; nothing but speed depends on the answer.
  'src/base/direct-reader.ts performance.now',
  // Only the part below a microsecond, so that two stamps of one tick differ.
  'src/worktree/stat-cache.ts process.hrtime',
  // The entry of programs that name a folder; who opens the workspace hands an environment in.
  'src/flow/model-registry.ts process.env',
  'src/flow/resolve/resolve.ts process.env',
  // The clock of the browser, in a module of its own.
  'src/web/clock.ts Date.now',
  // The default of an option; flows always hand the environment in.
  'src/git/open.ts process.env',
];

/** Exported functions, classes and interfaces without a doc comment. */
const undocumentedExceptions = [
  'src/base/tree.ts isFileEntry',
  'src/base/tree.ts isLinkEntry',
  'src/remote/local-files.ts enterFolder',
  'src/store/keys.ts packKey',
  'src/store/keys.ts indexKey',
  'src/store/keys.ts recipeKey',
];

/** Codes that the source does not give; the page of errors says so of each. */
const unusedCodes: readonly string[] = [];

const top = fileURLToPath(new URL('..', import.meta.url));

/** Files that Git keeps or would keep, from the top. */
function repositoryFiles(): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], {
    cwd: top,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const files = listed.split('\0').filter((name) => name !== '');
  return files.filter((name) =>
    fs.lstatSync(path.join(top, name), { throwIfNoEntry: false })?.isFile(),
  );
}

const files = repositoryFiles();

function read(name: string): SourceText {
  return { path: name, text: fs.readFileSync(path.join(top, name), 'utf8') };
}

const source = files.filter((name) => /^src\/.*\.tsx?$/.test(name)).map(read);
const tests = files.filter((name) => /^test\/.*\.ts$/.test(name)).map(read);

describe('the source', () => {
  it('has no long functions', () => {
    const lengths = source.flatMap(functionLengths);
    expect(lengths.length).toBeGreaterThan(500);
    expect(compareLengths(lengths, functionLinesMax, longFunctions)).toEqual([]);
  });

  it('has no long files', () => {
    const lengths = source.map((file) => ({ id: file.path, lines: fileLength(file) }));
    expect(compareLengths(lengths, fileLinesMax, longFiles)).toEqual([]);
  });

  it('takes time, chance, environment and streams where it may', () => {
    const found = source
      .filter(({ path: name }) => name !== 'src/base/clock.ts' && !name.startsWith('src/cli/'))
      .flatMap(outsideUses)
      .map(({ id }) => id);
    expect(compareExceptions(found, outsideExceptions)).toEqual([]);
    const cli = source.filter(({ path: name }) => name.startsWith('src/cli/')).flatMap(outsideUses);
    expect(cli.filter(({ what }) => what === 'time' || what === 'chance')).toEqual([]);
  });

  it('does not use console', () => {
    expect(source.flatMap(consoleUses)).toEqual([]);
  });

  it('has a doc comment on what it exports', () => {
    const found = [...new Set(source.flatMap(undocumented))];
    expect(compareExceptions(found, undocumentedExceptions)).toEqual([]);
  });

  it('names every error code somewhere', () => {
    const texts = source.map((file) =>
      file.path === 'src/base/errors.ts' ? file.text.split('as const')[2] : file.text,
    );
    const unused = errorCodes.filter((code) => !texts.join('\n').includes(`'${code}'`));
    expect(compareExceptions(unused, unusedCodes)).toEqual([]);
  });

  it('is named in kebab-case', () => {
    const names = [...source, ...tests].map((file) => file.path);
    expect(badFileNames(names)).toEqual([]);
  });
});

describe('source and tests', () => {
  it('put no work off without an issue', () => {
    const checks = ['test/tidy.test.ts', 'test/support/source-checks.ts'];
    const others = [...source, ...tests].filter((file) => !checks.includes(file.path));
    expect(others.flatMap(unnumberedMarks)).toEqual([]);
  });

  it('leave no test out and run none alone', () => {
    const others = tests.filter(({ path: name }) => name !== 'test/tidy.test.ts');
    expect(others.flatMap(loneTests)).toEqual([]);
  });
});

describe('the repository', () => {
  it("holds no path of somebody's machine and no package registry", () => {
    const texts = files
      .filter((name) => !name.startsWith('test/fixtures/') && name !== 'test/tidy.test.ts')
      .map(read)
      .filter(({ text }) => !text.includes('\0'));
    expect(texts.length).toBeGreaterThan(100);
    expect(texts.flatMap((file) => machineTraces(file, path.resolve(top)))).toEqual([]);
  });
});

describe('the checks of the source', () => {
  const sample = (text: string): SourceText => ({ path: 'src/a.ts', text });

  it('measure functions, methods and those inside others', () => {
    const text =
      '/** Doc.\n * more */\nfunction a() {\n  const b = () => {\n    return 1;\n  };\n}\n';
    expect(functionLengths(sample(text))).toEqual([
      { id: 'src/a.ts a', lines: 5 },
      { id: 'src/a.ts line 4', lines: 3 },
    ]);
    expect(functionLengths(sample('class C {\n  m(): void {\n  }\n}\n'))).toEqual([
      { id: 'src/a.ts m', lines: 2 },
    ]);
    expect(functionLengths(sample('interface I { m(): void }\n'))).toEqual([]);
  });

  it('measure files', () => {
    expect(fileLength(sample(''))).toBe(0);
    expect(fileLength(sample('a\nb\n'))).toBe(2);
    expect(fileLength(sample('a\nb'))).toBe(2);
  });

  it('let exceptions only shrink', () => {
    const found = [{ id: 'f', lines: 80 }];
    expect(compareLengths(found, 70, { f: 80 })).toEqual([]);
    expect(compareLengths(found, 70, {})).toHaveLength(1);
    expect(compareLengths(found, 70, { f: 79 })).toHaveLength(1);
    expect(compareLengths(found, 70, { f: 90 })).toHaveLength(1);
    expect(compareLengths(found, 90, { f: 80 })).toHaveLength(1);
    expect(compareExceptions(['a'], ['a'])).toEqual([]);
    expect(compareExceptions(['a'], ['b'])).toHaveLength(2);
  });

  it('find time, chance, environment and streams', () => {
    const bad = [
      'Date.now()',
      'new Date()',
      'performance.now()',
      'process.hrtime.bigint()',
      'Math.random()',
      'randomBytes(4)',
      "process.env['A']",
      'process.stdout.write("")',
      'process.exit(1)',
    ];
    for (const line of bad) expect(outsideUses(sample(line)).length, line).toBeGreaterThan(0);
    const good = ['new Date(0)', 'clock.now()', 'random.hex(4)', '"Date.now()"', '// Math.random'];
    for (const line of good) expect(outsideUses(sample(line)), line).toEqual([]);
  });

  it('find console, marks and tests left out', () => {
    expect(consoleUses(sample('console.log(1);'))).toHaveLength(1);
    expect(consoleUses(sample('// console.log\nconst text = "console.log";'))).toEqual([]);
    expect(unnumberedMarks(sample('// TODO later\n// FIXME: this'))).toHaveLength(2);
    expect(unnumberedMarks(sample('// TODO #12: later\n// TODO(#3) x'))).toEqual([]);
    expect(loneTests(sample('it.only("x")\ndescribe.skip("y")\nit.todo("z")'))).toHaveLength(3);
    expect(loneTests(sample('it.runIf(true)("x")'))).toEqual([]);
  });

  it('find exports without a doc comment', () => {
    const bare = 'export function a() {}\nexport class B {}\nexport interface C {}\n';
    expect(undocumented(sample(bare))).toHaveLength(3);
    expect(
      undocumented(sample('/** Does it. */\nexport function a() {}\nfunction b() {}\n')),
    ).toEqual([]);
  });

  it('find file names of another form', () => {
    expect(badFileNames(['src/a-b.ts', 'test/a.test.ts', 'test/x/vitest.config.ts'])).toEqual([]);
    expect(badFileNames(['src/aB.ts', 'src/a_b.ts', 'src/x/index.ts'])).toHaveLength(3);
  });

  it('find paths of machines and package registries', () => {
    const traces = (text: string) => machineTraces(sample(text), '/checkout/of/mine');
    expect(traces('cd /home/ann/x')).toHaveLength(1);
    expect(traces('C:\\Users\\Ann')).toHaveLength(1);
    expect(traces('/checkout/of/mine/src')).toHaveLength(1);
    expect(traces('"resolved": "https://registry.example.com/x.tgz"')).toHaveLength(1);
    expect(traces('see https://example.com/docs and /srv/models')).toEqual([]);
  });
});
