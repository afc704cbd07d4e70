#!/usr/bin/env node
/**
 * Changes the code of the layers below the flows in small ways, one at a time, and tells which changes no
 * test of their folder notices. Arguments choose folders of `src` or files in them, with lines or without:
 * `index`, `src/store/recipe.ts`, `src/store/recipe.ts:10-60`; `--every N` tries each N-th change alone. A run
 * goes on from the one before: what was found of a file counts until the file or its tests change.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folders = ['chunk', 'pack', 'index', 'store', 'registry'];
const columns = ['folder', 'mutants', 'killed', 'timed out', 'survived', 'not reached', 'score'];

/** What is asked for, by folder; no files stands for all of a folder. */
function chosen(names) {
  const files = new Map(names.length === 0 ? folders.map((folder) => [folder, []]) : []);
  for (const name of names) {
    const [, folder, file] = /^(?:src\/)?(\w+)\/?(.+)?$/.exec(name) ?? [];
    if (!folders.includes(folder)) throw new Error(`Not one of ${folders.join(', ')}: ${name}`);
    const wanted = files.get(folder) ?? [];
    if (file !== undefined) wanted.push(`src/${folder}/${file}`);
    files.set(folder, wanted);
  }
  return files;
}

/** Where the findings of a folder are kept. */
function reportOf(folder) {
  return `coverage/mutation/${folder}${every === undefined ? '' : `-every-${every}`}.json`;
}

function row(folder) {
  const count = {};
  for (const { mutants } of Object.values(
    JSON.parse(fs.readFileSync(`${root}/${reportOf(folder)}`, 'utf8')).files,
  ))
    for (const { status } of mutants) count[status] = (count[status] ?? 0) + 1;
  const { Killed = 0, Timeout = 0, Survived = 0, NoCoverage = 0 } = count;
  const all = Killed + Timeout + Survived + NoCoverage;
  const score = all === 0 ? '-' : `${((100 * (Killed + Timeout)) / all).toFixed(1)} %`;
  return [folder, all, Killed, Timeout, Survived, NoCoverage, score];
}

const { values, positionals } = parseArgs({
  options: { every: { type: 'string' } },
  allowPositionals: true,
});
const { every } = values;
const wanted = chosen(positionals);
for (const [folder, files] of wanted) {
  const only = files.length === 0 ? [] : ['--mutate', files.join(',')];
  const stryker = [
    `${root}/node_modules/.bin/stryker`,
    'run',
    'test/tools/stryker.config.js',
    ...only,
  ];
  const env = {
    ...process.env,
    MSTORE_MUTATION: folder,
    MSTORE_MUTATION_REPORT: reportOf(folder),
    ...(every === undefined ? {} : { MSTORE_MUTATION_EVERY: every }),
  };
  execFileSync(process.execPath, stryker, { cwd: root, env, stdio: 'inherit' });
}
for (const line of [columns, columns.map(() => '---'), ...[...wanted.keys()].map(row)])
  process.stdout.write(`| ${line.join(' | ')} |\n`);
