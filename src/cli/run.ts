import * as fs from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { throwIfAborted } from '../base/abort.ts';
import { errorDocument } from '../base/error-document.ts';
import {
  exitCodes,
  fromSystemError,
  isMstoreError,
  MstoreError,
  systemCode,
} from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { type Progress, silentProgress } from '../base/progress.ts';
import { offlineIn, systemSurroundings } from '../flow/surroundings.ts';
import { openWorkspace } from '../flow/workspace.ts';
import type { Command } from './command.ts';
import type { Context, GlobalOptions } from './context.ts';
import { parseCommandLine } from './parser.ts';
import { barProgress, eventProgress, plainProgress } from './progress-display.ts';
import { withoutSecrets } from './secrets.ts';
import { jsonText, makePaint, outputWidth, safeLine, useColour } from './text.ts';

/**
 * Parses and runs a command line, and tells the user of errors.
 * @param version of this program
 * @returns the exit code
 */
export async function runCommandLine(argv: readonly string[], version: string): Promise<number> {
  // Nobody reads what is said; the work itself goes on, and only `cat` has none without a reader.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  const wantsJson = argv.includes('--json') || argv.includes('--json-events');
  try {
    const parsed = await parseCommandLine(argv, version);
    if (parsed.kind === 'text') {
      (parsed.exitCode === exitCodes.done ? process.stdout : process.stderr).write(
        `${parsed.text}\n`,
      );
      return parsed.exitCode;
    }
    return await runCommand(parsed.command, parsed.args, parsed.options, parsed.directory);
  } catch (error) {
    // Whoever reads our output has seen enough (`mstore cat FILE | head`).
    if (systemCode(error) === 'EPIPE') return exitCodes.done;
    const events = argv.includes('--json-events');
    return report(
      error,
      { json: wantsJson, events },
      argv.includes('-v') || argv.includes('--verbose'),
    );
  }
}

async function runCommand(
  command: Command,
  args: Readonly<Record<string, unknown>>,
  options: GlobalOptions,
  directory: string | undefined,
): Promise<number> {
  const abort = new AbortController();
  const signals: Signals = { endedBy: undefined, hangup: undefined };
  const interrupt = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGHUP' && signals.hangup !== undefined) {
      signals.hangup();
      return;
    }
    // The second signal does not wait for tidying up; nothing visible is half-written at any moment.
    if (abort.signal.aborted) process.exit(exitCodes.interrupted);
    signals.endedBy = signal;
    abort.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  process.on('SIGHUP', interrupt);
  const context = makeContext(options, directory, { signal: abort.signal, signals });
  try {
    return (await command.run(context, args)) ?? exitCodes.done;
  } catch (error) {
    // Ctrl-C ends a Git that we wait for as well: its failure is not what happened, and may be known first.
    await new Promise((resolve) => setTimeout(resolve, endedBySignal(error) ? signalMsMax : 0));
    throwIfAborted(abort.signal);
    throw error;
  } finally {
    context.progress.finish();
    // A second signal that comes while an interrupted command ends must not change how it ends.
    if (!abort.signal.aborted) {
      process.off('SIGINT', interrupt);
      process.off('SIGTERM', interrupt);
      process.off('SIGHUP', interrupt);
    }
  }
}

/** What became of signals, and what is to become of one. */
interface Signals {
  endedBy: NodeJS.Signals | undefined;
  hangup: (() => void) | undefined;
}

/** How long a signal may take to come here that a child got at the same time. */
const signalMsMax = 250;

function endedBySignal(error: unknown): boolean {
  const outcome = isMstoreError(error, 'git-failed') ? error.details['outcome'] : undefined;
  return ['SIGINT', 'SIGTERM', 'SIGHUP'].includes(String(outcome));
}

function makeContext(
  options: GlobalOptions,
  directory: string | undefined,
  { signal, signals }: { readonly signal: AbortSignal; readonly signals: Signals },
): Context {
  const env = process.env;
  // What Node tells those who write programs is not for those who run them.
  process.noDeprecation = true;
  // Which Node to run on is this program's to say: the SDK would print a warning with every command.
  env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  env['HOME'] ??= homeOf();
  const offline = options.offline || offlineIn(env);
  const surroundings = systemSurroundings(env, offline);
  const cwd = workingDirectory(directory);
  const machine = options.json || options.jsonEvents;
  const colours = { out: useColour(process.stdout, env), err: useColour(process.stderr, env) };
  const note = (line: string): void =>
    void process.stderr.write(`${safeLine(withoutSecrets(line, env), colours.err)}\n`);
  return {
    cwd,
    options,
    surroundings,
    signal,
    progress: chooseProgress(options, surroundings.clock),
    paint: makePaint(colours.out),
    width: outputWidth(process.stdout, env),
    workspace: () => openWorkspace(cwd, surroundings),
    result(document, lines) {
      if (options.jsonEvents)
        process.stdout.write(`${jsonText({ event: 'result', ...document })}\n`);
      else if (options.json) process.stdout.write(`${jsonText(document, 2)}\n`);
      else for (const line of lines) process.stdout.write(`${safeLine(line, colours.out)}\n`);
    },
    event: (document, line) =>
      machine ? void process.stdout.write(`${jsonText(document)}\n`) : options.quiet || note(line),
    endedBy: () => signals.endedBy,
    onHangup(work) {
      signals.hangup = work;
    },
    note: (line) => (options.quiet || machine ? undefined : note(line)),
    warn: (line) => note(`warning: ${line}`),
    fail: (error) => (machine ? undefined : tell(error)),
    write: (bytes) =>
      new Promise((resolve, reject) => {
        process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
  };
}

function chooseProgress(
  options: GlobalOptions,
  clock: Parameters<typeof barProgress>[1],
): Progress {
  if (options.jsonEvents) return eventProgress(process.stdout, clock);
  if (!options.progress || options.quiet || options.json) return silentProgress;
  return process.stderr.isTTY
    ? barProgress(process.stderr, clock)
    : plainProgress(process.stderr, clock);
}

/** A container may run under a number that no user has: home is the root there, as container engines have it. */
function homeOf(): string {
  try {
    return homedir();
  } catch {
    return '/';
  }
}

function workingDirectory(directory: string | undefined): string {
  const folder = path.resolve(directory ?? '.');
  try {
    return fs.realpathSync(folder);
  } catch (error) {
    throw fromSystemError(error, `changing to ${printable(folder)}`);
  }
}

/** Tells the user of an error, as text or as JSON, and returns the exit code. */
function report(
  thrown: unknown,
  { json, events }: { json: boolean; events: boolean },
  verbose: boolean,
): number {
  const error = asMstoreError(thrown);
  if (json) {
    const document = errorDocument(error);
    const text = jsonText(events ? { event: 'error', ...document } : document);
    process.stdout.write(`${withoutSecrets(text, process.env)}\n`);
  } else {
    tell(error);
  }
  if (verbose && thrown instanceof Error) {
    for (let cause: unknown = thrown; cause instanceof Error; cause = cause.cause) {
      process.stderr.write(`${safeText(cause.stack ?? cause.message)}\n`);
    }
  }
  return error.exitCode;
}

/** Writes an error for people. */
function tell(error: MstoreError): void {
  const paint = makePaint(useColour(process.stderr, process.env));
  process.stderr.write(
    `${paint.bad('error:')} ${safeText(error.message)} ${paint.faint(`[${error.code}]`)}\n`,
  );
  if (error.hint !== undefined)
    process.stderr.write(`${paint.strong('hint:')} ${safeText(error.hint)}\n`);
}

/** Texts of the system name files as they are: nothing in them may reach the terminal as a command. */
function safeText(text: string): string {
  return withoutSecrets(text, process.env).split('\n').map(printable).join('\n');
}

function asMstoreError(thrown: unknown): MstoreError {
  if (isMstoreError(thrown)) return thrown;
  const translated = fromSystemError(thrown, 'the operation');
  if (isMstoreError(translated)) return translated;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new MstoreError('internal', `Unexpected failure: ${reason}`, {
    hint: 'This is a defect in mstore; run it again with -v and report what it prints',
    cause: thrown,
  });
}
