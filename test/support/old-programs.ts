import * as fs from 'node:fs';
import * as path from 'node:path';
import { brotliDecompressSync } from 'node:zlib';

/** A program of the past that changed what is written, and what it could do already. */
export interface OldProgram {
  readonly commit: string;
  /** What it was the first to write. */
  readonly about: string;
  readonly compression?: true;
  readonly registry?: true;
  readonly gate?: true;
  /** Its registry moves between hosts. */
  readonly moves?: true;
}

/** Oldest first. Each has a fixture, made by test/tools/old-programs.js. */
export const oldPrograms: readonly OldProgram[] = [
  { commit: '1edbc0a', about: 'the first whole path: pointers, packs, recipes, roots' },
  {
    commit: '50c31a5',
    about: 'headers, pointers and stat caches as the format page then had them',
  },
  { commit: '0ea02ca', about: 'stat caches of one row a file' },
  {
    commit: '3aa46df',
    about: 'chunk tables, encoded chunks, hard cuts of four formats',
    compression: true,
  },
  {
    commit: 'e6dbb0e',
    about: 'stat caches with links, lists of large trees beside them',
    compression: true,
  },
  { commit: 'e1afae4', about: 'versions, environments and states below refs', registry: true },
  { commit: '08384d3', about: 'decisions of the gate in entries', registry: true, gate: true },
  {
    commit: '7e66c77',
    about: 'registries that move between hosts, and what two were found to have alike',
    registry: true,
    gate: true,
    moves: true,
  },
  {
    commit: '0643a44',
    about: 'the last one before verify and gc',
    compression: true,
    registry: true,
    gate: true,
    moves: true,
  },
];

/** What an old program left. */
interface Fixture {
  /** By version, from 1: SHA-256 of each file by its path, or `->` and the target of a link. */
  readonly versions: readonly Readonly<Record<string, string>>[];
  /** Bytes of files in base64. */
  readonly contents: readonly string[];
  readonly entries: ReadonlyArray<{
    readonly path: string;
    readonly mode?: number;
    /** Which of the contents. */
    readonly content?: number;
    readonly link?: string;
    readonly directory?: true;
  }>;
}

const folder = new URL('../fixtures/programs/', import.meta.url).pathname;

/** Puts what an old program left below a folder: its workspace `work` and its remote `remote`. */
export function unpackOldProgram(commit: string, to: string): Fixture['versions'] {
  const text = brotliDecompressSync(
    fs.readFileSync(path.join(folder, `${commit}.json.br`)),
  ).toString();
  const { versions, contents, entries } = JSON.parse(text) as Fixture;
  for (const { path: name, mode, content, link, directory } of entries) {
    const full = path.join(to, name);
    fs.mkdirSync(path.dirname(full), { recursive: true });
    if (directory) fs.mkdirSync(full, { recursive: true });
    else if (link !== undefined) fs.symlinkSync(link, full);
    else {
      fs.writeFileSync(full, Buffer.from(contents[content ?? -1] ?? '', 'base64'));
      fs.chmodSync(full, mode ?? 0o644);
    }
  }
  return versions;
}
