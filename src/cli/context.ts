import type { MstoreError } from '../base/errors.ts';
import type { Progress } from '../base/progress.ts';
import type { Surroundings } from '../flow/surroundings.ts';
import type { Workspace } from '../flow/workspace.ts';
import type { Paint } from './text.ts';

/** Options that every command takes. */
export interface GlobalOptions {
  readonly json: boolean;
  readonly jsonEvents: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly progress: boolean;
  readonly offline: boolean;
  readonly jobs: number | undefined;
}

/** What a command gets to work with. */
export interface Context {
  /** Absolute, real folder that relative paths start from. */
  readonly cwd: string;
  readonly options: GlobalOptions;
  readonly surroundings: Surroundings;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** Colours for standard output. */
  readonly paint: Paint;
  /** Columns that a line of standard output should have at most. */
  readonly width: number;
  /** Opens the workspace that `cwd` lies in. */
  workspace(): Promise<Workspace>;
  /**
   * Ends the command with its result: one JSON document with `--json`, otherwise lines for people.
   * @param lines the answer asked for, on standard output
   */
  result(document: object, lines: readonly string[]): void;
  /** Tells of something that happened in long work: one line of JSON with `--json`, otherwise of text. */
  event(document: { readonly event: string }, line: string): void;
  /** The signal that asked this program to end, if one did. */
  endedBy(): NodeJS.Signals | undefined;
  /** Has SIGHUP do something else than end the program. */
  onHangup(work: () => void): void;
  /** Says something to people, on standard error; silent with `-q`. */
  note(line: string): void;
  /** Warns people, on standard error, even with `-q`. */
  warn(line: string): void;
  /** Tells people of an error that did not end the command; a document of JSON tells it by itself. */
  fail(error: MstoreError): void;
  /** Writes bytes to standard output and waits until they are taken. */
  write(bytes: Uint8Array): Promise<void>;
}
