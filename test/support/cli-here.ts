import { setImmediate as turn } from 'node:timers/promises';
import { exitCodes, fromSystemError, isMstoreError, MstoreError } from '../../src/base/errors.ts';
import { silentProgress } from '../../src/base/progress.ts';
import type { Context } from '../../src/cli/context.ts';
import { parseCommandLine } from '../../src/cli/parser.ts';
import { makePaint } from '../../src/cli/text.ts';
import { openWorkspace } from '../../src/flow/workspace.ts';
import { testSurroundings } from './flow-project.ts';

/** How a command that ran in this process ended. */
export interface HereResult {
  /** The exit code that the program would end with. */
  readonly exit: number;
  /** The error that ended it, or the first that it told of. */
  readonly error: MstoreError | undefined;
  /** The document of `--json`. */
  readonly document: Readonly<Record<string, unknown>>;
  /** Warnings and errors that did not end it. */
  readonly told: readonly string[];
}

/**
 * Runs a command line in this process: the parser, the command and all below it, without starting Node.
 * What is thrown and is none of our errors is thrown on, as the program would show a stack.
 */
export async function runHere(
  cwd: string,
  argv: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<HereResult> {
  const parsed = await parseCommandLine([...argv, '--json'], '0.0.0');
  if (parsed.kind === 'text') throw new Error(`No command: ${argv.join(' ')}`);
  const usual = testSurroundings();
  const surroundings = { ...usual, env: { ...usual.env, ...env } };
  const told: string[] = [];
  const failures: MstoreError[] = [];
  let document: Record<string, unknown> = {};
  const context: Context = {
    cwd,
    options: parsed.options,
    surroundings,
    signal: new AbortController().signal,
    progress: silentProgress,
    paint: makePaint(false),
    width: 100,
    workspace: () => openWorkspace(cwd, surroundings),
    result: (found) => {
      document = { ...found };
    },
    event: () => {},
    endedBy: () => undefined,
    onHangup: () => {},
    note: () => {},
    warn: (line) => void told.push(line),
    fail: (error) => {
      failures.push(error);
      told.push(error.message);
    },
    write: () => turn(),
  };
  try {
    const code = await parsed.command.run(context, parsed.args);
    return { exit: code ?? exitCodes.done, error: failures[0], document, told };
  } catch (thrown) {
    const error = fromSystemError(thrown, 'the operation');
    if (!isMstoreError(error)) throw thrown;
    return { exit: error.exitCode, error, document, told };
  }
}

/** Runs a command line in this process; it must succeed. */
export async function runHereOk(
  cwd: string,
  argv: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<HereResult> {
  const result = await runHere(cwd, argv, env);
  if (result.exit === exitCodes.done) return result;
  throw new MstoreError('internal', `mstore ${argv.join(' ')}: ${result.error?.message ?? ''}`, {
    cause: result.error,
  });
}
