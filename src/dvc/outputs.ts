import * as path from 'node:path';
import { isJsonObject, type JsonObject } from '../base/json.ts';
import { pathProblem, printable } from '../base/names.ts';
import { type DvcObject, isMd5, listSuffix } from './object-key.ts';
import { badDvcFile } from './problem.ts';

/** A file or directory that DVC keeps. */
export interface DvcOutput {
  /** From the top of the DVC repository; as DVC wrote it where it lies elsewhere. */
  readonly path: string;
  /** The file of DVC that says so, from the top. */
  readonly file: string;
  /** The stage that makes it, for outputs of pipelines. */
  readonly stage?: string;
  /** What it is; undefined where that cannot be had. */
  readonly object?: DvcObject;
  /** Why there is no object. */
  readonly problem?: string;
  /** Bytes, of a directory those of all files, where DVC tells. */
  readonly size?: number;
  /** Files of a directory, where DVC tells. */
  readonly files?: number;
  readonly executable?: true;
  /** The remote that has it, where that is not the one of the repository. */
  readonly remote?: string;
  /** False for what DVC leaves to Git. */
  readonly isCached: boolean;
  /** Where DVC took it from, for what was imported: its data may be there alone. */
  readonly origin?: string;
}

/** Outputs of one `.dvc` file. */
export function parseDvcFile(value: unknown, file: string): DvcOutput[] {
  const { wdir, outs, deps } = objectOf(value ?? {}, file, 'it');
  const folder = folderOf(file, wdir);
  const origin = originOf(deps);
  return listOf(outs, file, 'outs').map((out) => {
    return outputOf(out, { file, folder, ...(origin === undefined ? {} : { origin }) });
  });
}

/**
 * Outputs of the stages of a `dvc.lock`.
 * @param pipeline the `dvc.yaml` beside it: a lock file does not tell where its stages work
 */
export function parseDvcLock(value: unknown, pipeline: unknown, file: string): DvcOutput[] {
  const top = objectOf(value ?? {}, file, 'it');
  const { schema } = top;
  if (schema !== undefined && schema !== '2.0') {
    throw badDvcFile(file, `its schema is ${printable(String(schema))}, and 2.0 is known`);
  }
  // The first lock files were their stages alone.
  const stages = schema === undefined ? top : objectOf(top['stages'] ?? {}, file, 'stages');
  const defined = inner(pipeline, 'stages') ?? {};
  return Object.entries(stages).flatMap(([stage, locked]) => {
    const { outs } = objectOf(locked, file, `the stage ${printable(stage)}`);
    const facts = factsOf(defined, stage);
    const { wdir } = facts;
    return listOf(outs, file, 'outs').map((out) => {
      const name = isJsonObject(out) ? out['path'] : undefined;
      const said = typeof name === 'string' ? flagsOf(facts, name) : {};
      const place = { file, stage, folder: folderOf(file, wdir) };
      return outputOf({ ...said, ...objectOf(out, file, 'an output') }, place);
    });
  });
}

/** What `dvc.yaml` says of a stage; `name@key` is one of `foreach` or `matrix`. */
function factsOf(defined: JsonObject, stage: string): JsonObject {
  const at = stage.lastIndexOf('@');
  const found = inner(defined, stage) ?? (at > 0 ? inner(defined, stage.slice(0, at)) : undefined);
  return inner(found, 'do') ?? found ?? {};
}

/** What `dvc.yaml` says of an output, by its name there. */
function flagsOf(facts: JsonObject, name: string): JsonObject {
  for (const kind of ['outs', 'metrics', 'plots']) {
    const listed = facts[kind];
    for (const one of Array.isArray(listed) ? listed : []) {
      const { cache, remote } = inner(one, name) ?? {};
      if (cache === undefined && remote === undefined) continue;
      return { ...(cache === false ? { cache } : {}), ...(remote === undefined ? {} : { remote }) };
    }
  }
  return {};
}

interface Place {
  readonly file: string;
  readonly stage?: string;
  /** From the top; or what is wrong with it. */
  readonly folder: { readonly path: string } | { readonly problem: string };
  readonly origin?: string;
}

function outputOf(value: unknown, { folder, ...place }: Place): DvcOutput {
  const { file } = place;
  const out = objectOf(value, file, 'an output');
  const name = out['path'];
  if (typeof name !== 'string' || name === '') throw badDvcFile(file, 'an output has no path');
  const where = placeOf(folder, name);
  const content = 'problem' in where ? where : contentOf(out, file);
  const { remote } = out;
  const size = countOf(out, 'size', file);
  const files = countOf(out, 'nfiles', file);
  return {
    path: 'path' in where ? where.path : name,
    ...place,
    ...('object' in content ? { object: content.object } : { problem: content.problem }),
    ...(size === undefined ? {} : { size }),
    ...(files === undefined ? {} : { files }),
    ...(out['isexec'] === true ? { executable: true } : {}),
    ...(typeof remote === 'string' ? { remote } : {}),
    isCached: out['cache'] !== false,
  };
}

/** Finds where an output lies; DVC may keep what is outside of its repository too. */
function placeOf(folder: Place['folder'], name: string): { path: string } | { problem: string } {
  if ('problem' in folder) return folder;
  if (/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(name) || path.posix.isAbsolute(name)) {
    return { problem: 'it lies outside of the repository' };
  }
  const full = path.posix.join(folder.path, name).replace(/\/+$/, '');
  if (full === '..' || full.startsWith('../')) {
    return { problem: 'it lies outside of the repository' };
  }
  const wrong = pathProblem(full);
  return wrong === undefined ? { path: full } : { problem: `its path has ${wrong}` };
}

function contentOf(out: JsonObject, file: string): { object: DvcObject } | { problem: string } {
  const { md5, hash } = out;
  if (hash !== undefined && hash !== 'md5') {
    return { problem: `it is named by ${printable(String(hash))}, and only MD5 is read` };
  }
  if (typeof md5 === 'number') {
    throw badDvcFile(file, 'an MD5 of digits alone stands in it without quotes');
  }
  if (md5 === undefined || md5 === null) {
    const isCloud = ['files', 'cloud', 'etag', 'version_id'].some((key) => out[key] !== undefined);
    return {
      problem: isCloud
        ? 'it is kept by the versions of a bucket ("version_aware" or "worktree"), which are not read'
        : 'DVC has not stored it yet (run "dvc commit" or "dvc repro")',
    };
  }
  const name = String(md5).toLowerCase();
  const isList = name.endsWith(listSuffix);
  const digits = isList ? name.slice(0, -listSuffix.length) : name;
  if (!isMd5(digits)) throw badDvcFile(file, `${printable(name)} is no MD5`);
  return { object: { hash: hash === undefined ? 'md5-dos2unix' : 'md5', md5: digits, isList } };
}

function countOf(out: JsonObject, key: string, file: string): number | undefined {
  const value = out[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw badDvcFile(file, `the ${key} of an output is no number of them`);
}

/** The folder that paths of a file start from. */
function folderOf(file: string, wdir: unknown): Place['folder'] {
  const own = path.posix.dirname(file);
  if (wdir === undefined || wdir === null) return { path: own };
  if (typeof wdir !== 'string') throw badDvcFile(file, 'a wdir is no path');
  if (wdir.includes('${')) {
    return { problem: 'the folder of its stage is a template, which only DVC resolves' };
  }
  if (path.posix.isAbsolute(wdir)) return { problem: 'it lies outside of the repository' };
  return { path: path.posix.join(own, wdir) };
}

/** Where DVC imported something from: another repository, or an address. */
function originOf(deps: unknown): string | undefined {
  const [dep] = Array.isArray(deps) ? deps : [];
  const repo = inner(dep, 'repo');
  const url = repo?.['url'] ?? (isJsonObject(dep) ? dep['path'] : undefined);
  return typeof url === 'string' ? url : undefined;
}

function objectOf(value: unknown, file: string, what: string): JsonObject {
  if (isJsonObject(value)) return value;
  throw badDvcFile(file, `${what} maps no names to values`);
}

function listOf(value: unknown, file: string, what: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw badDvcFile(file, `${what} is no list`);
}

function inner(value: unknown, key: string): JsonObject | undefined {
  const found = isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  return isJsonObject(found) ? found : undefined;
}
