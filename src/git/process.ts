import * as childProcess from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MstoreError, systemCode } from '../base/errors.ts';
import { printable, shellWord } from '../base/names.ts';

/** What one run of Git is fed with and who takes its output. */
interface GitRun {
  /** Standard input, part by part; none when left out. */
  readonly input?: Iterable<string>;
  /** Takes the output as it arrives; `false` means that no more is needed, and ends Git. */
  readonly onData?: (chunk: Buffer) => boolean;
  /** Exit codes that mean success; default: 0 alone. */
  readonly successCodes?: readonly number[];
  /** Forbids fetching of absent objects in a partial clone: they count as missing, or Git fails. */
  readonly withoutFetch?: boolean;
}

/** Starts Git with arguments; resolves to what it wrote to standard error, shortened, when it succeeds. */
export type GitRunner = (args: readonly string[], run: GitRun) => Promise<string>;

/** Standard error is kept to this length from its end, where Git says why it stopped. */
const stderrBytesMax = 8 * 1024;
const quotedLengthMax = 600;

/** Variables that would lead Git to another repository, index or object directory, or change its answers. */
const unwantedVariable =
  /^GIT_(?:DIR|WORK_TREE|IMPLICIT_WORK_TREE|COMMON_DIR|INDEX_FILE|INDEX_VERSION|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|NAMESPACE|PREFIX|INTERNAL_SUPER_PREFIX|GRAFT_FILE|SHALLOW_FILE|REPLACE_REF_BASE|CONFIG|CEILING_DIRECTORIES|DEFAULT_HASH|DEFAULT_REF_FORMAT|QUARANTINE_PATH|ATTR_SOURCE|EXTERNAL_DIFF|DIFF_OPTS|(?:LITERAL|GLOB|NOGLOB|ICASE)_PATHSPECS)$/i;

/** Returns the environment that Git is started with. */
export function gitEnvironment(env: NodeJS.ProcessEnv, withoutFetch = false): NodeJS.ProcessEnv {
  const result: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(env)) {
    if (!unwantedVariable.test(name)) result[name] = value;
  }
  result.GIT_OPTIONAL_LOCKS = '0';
  result.GIT_TERMINAL_PROMPT = '0';
  // Replaced objects would make the same commit id mean different files on different machines.
  result.GIT_NO_REPLACE_OBJECTS = '1';
  result.LC_ALL = 'C';
  if (withoutFetch) {
    // The first is known from 2.45 on; without a protocol no older Git gets as far as to start something.
    result.GIT_NO_LAZY_FETCH = '1';
    result.GIT_ALLOW_PROTOCOL = 'none';
  }
  return result;
}

/**
 * Settings of every run. What a repository brings along must not choose programs: no monitor of the file
 * system, no hook (they lie in the Git directory), no pager; nor may a folder that looks like a Git
 * directory be taken for one.
 */
const settings = [
  '--no-pager',
  ...['-c', 'core.fsmonitor=false'],
  ...['-c', 'core.hooksPath=/dev/null'],
  ...['-c', 'safe.bareRepository=explicit'],
  ...['-c', 'core.quotePath=false'],
];

/** Makes the function that runs the program `git` at the top of a working tree. */
export function gitRunner(program: string, root: string, env: NodeJS.ProcessEnv): GitRunner {
  return async (args, run) => {
    const child = childProcess.spawn(program, [...settings, ...args], {
      cwd: root,
      env: {
        ...gitEnvironment(env, run.withoutFetch),
        // The repository is the one here, or none: Git looks no further up than we did.
        GIT_CEILING_DIRECTORIES: path.dirname(root),
      },
      stdio: ['pipe', run.onData === undefined ? 'ignore' : 'pipe', 'pipe'],
      windowsHide: true,
    });
    const ending = watch(child, run);
    // A Git that ends early closes its input; its exit code and its last words tell why.
    const feeding = pipeline(
      Readable.from(run.input ?? []),
      child.stdin as NodeJS.WritableStream,
    ).catch(() => undefined);
    const end = await ending;
    await feeding;
    if (end.kind === 'stopped') return end.stderr;
    if (end.kind === 'refused') throw end.error;
    if (end.kind === 'not-started') throw notStarted(program, root, end.error);
    if (end.code !== null && (run.successCodes ?? [0]).includes(end.code)) return end.stderr;
    throw gitFailure(args[0] ?? '', end.code ?? end.signal ?? 'unknown', end.stderr, root);
  };
}

type Ending =
  | { kind: 'ended'; code: number | null; signal: string | null; stderr: string }
  | { kind: 'stopped'; stderr: string }
  | { kind: 'refused'; error: unknown }
  | { kind: 'not-started'; error: unknown };

/** Follows a child to its end. A consumer that throws or has enough ends it. */
function watch(child: childProcess.ChildProcess, run: GitRun): Promise<Ending> {
  return new Promise((resolve) => {
    let early: Ending | undefined;
    let stderr = Buffer.alloc(0);
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr = Buffer.concat([stderr, chunk]).subarray(-stderrBytesMax);
    });
    child.stdout?.on('data', (chunk: Buffer) => {
      if (early !== undefined) return;
      try {
        if (run.onData?.(chunk) === false) early = { kind: 'stopped', stderr: stderr.toString() };
      } catch (error) {
        early = { kind: 'refused', error };
      }
      if (early === undefined) return;
      child.kill();
      child.stdout?.destroy();
    });
    child.on('error', (error) => {
      if (child.pid !== undefined) return;
      resolve({ kind: 'not-started', error });
      child.stdin?.destroy();
    });
    child.on('close', (code, signal) => {
      resolve(early ?? { kind: 'ended', code, signal, stderr: stderr.toString() });
    });
  });
}

function notStarted(program: string, root: string, error: unknown): MstoreError {
  // A working folder that has gone gives the same code as a program that has gone.
  const gone = systemCode(error) === 'ENOENT' && !fs.existsSync(root);
  const reason = gone
    ? `${printable(root)} is not there any more`
    : `${printable(program)} does not start (${systemCode(error) ?? String(error)})`;
  return new MstoreError('git-failed', `Failed running Git: ${reason}`, {
    hint: gone ? 'Check the path of the repository' : 'Install git, or repair the installed one',
    cause: error,
    details: gone ? { path: root } : { path: program, programMissing: true },
  });
}

/** Tells whether an error means that there is no working program, so that another way may be tried. */
export function isProgramMissing(error: unknown): boolean {
  return error instanceof MstoreError && error.details.programMissing === true;
}

/** Makes the error for a run of Git that failed; its last words are quoted, shortened and made harmless. */
export function gitFailure(
  command: string,
  outcome: number | string,
  stderr: string,
  root: string,
): MstoreError {
  const words = quote(stderr);
  const said = words === '' ? `it ended with ${outcome} and no message` : words;
  // The program that macOS ships is a stand-in until developer tools are installed.
  const missing = /^xcrun: error|^xcode-select: /m.test(stderr);
  return new MstoreError('git-failed', `Git failed (${command}): ${said}`, {
    hint: hintFor(stderr, root),
    details: { command, outcome, ...(missing ? { programMissing: true } : {}) },
  });
}

function quote(stderr: string): string {
  const lines = stderr.split(/\r?\n/).filter((line) => line.trim() !== '');
  const telling = lines.filter((line) => /^(?:fatal|error): /.test(line));
  const text = [...new Set(telling.length > 0 ? telling : lines)]
    .map((line) => printable(line.replace(/\/\/[^\s/@]*@/g, '//…@')))
    .join('; ');
  return text.length > quotedLengthMax ? `${text.slice(0, quotedLengthMax)}…` : text;
}

function hintFor(stderr: string, root: string): string {
  if (/dubious ownership|unsafe repository|safe\.directory/.test(stderr)) {
    return `The repository belongs to another user; if you trust it, run: git config --global --add safe.directory ${shellWord(root)}`;
  }
  if (
    /promisor|remote error|read from remote repository|Could not resolve host|unable to access/i.test(
      stderr,
    )
  ) {
    return 'This is a partial clone, and Git could not fetch what is absent; check that its remote can be reached';
  }
  if (/beyond a symbolic link|is in submodule|outside repository/.test(stderr)) {
    return 'Name the path through the folder that really holds it, in the repository that it belongs to';
  }
  if (/bad object|not a tree object|Not a valid object name|missing/i.test(stderr)) {
    return 'Fetch what is absent (git fetch, and git fetch --unshallow in a shallow clone), or run git fsck';
  }
  return `Run git status in ${printable(root)} to see whether Git can use this repository`;
}
