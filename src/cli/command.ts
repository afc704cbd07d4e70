import type { Argv } from 'yargs';
import type { Context } from './context.ts';

/** Arguments as the parser hands them over. */
export type Args = Readonly<Record<string, unknown>>;

/** One command of the command line. */
export interface Command {
  /** Positional arguments, in the parser's notation: `<path..>`. */
  readonly positionals: string;
  /** Adds positionals and options. */
  readonly options?: (parser: Argv) => Argv;
  /** Command lines with what they do, for the help. */
  readonly examples: ReadonlyArray<readonly [line: string, about: string]>;
  /** Does the work; a returned number is the exit code. */
  readonly run: (context: Context, args: Args) => Promise<number | undefined>;
}

/** Returns a list argument. */
export function listOf(args: Args, name: string): string[] {
  const value = args[name];
  if (value === undefined) return [];
  return (Array.isArray(value) ? value : [value]).map(String);
}

/** Returns a text option, the last one where it was given twice. */
export function textOf(args: Args, name: string): string | undefined {
  return listOf(args, name).at(-1);
}

/** Returns a switch. */
export function flagOf(args: Args, name: string): boolean {
  const value = args[name];
  return Array.isArray(value) ? value.at(-1) === true : value === true;
}
