import yargs, { type Argv } from 'yargs';
import { exitCodes, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { Args, Command } from './command.ts';
import { commandTable } from './commands.ts';
import { proposals } from './complete.ts';
import type { GlobalOptions } from './context.ts';

/** How the completion script asks for proposals; the words of the command line follow. */
const completionFlag = '--get-yargs-completions';

/** What a command line means: a command to run, or a text to show. */
export type ParsedCommandLine =
  | { readonly kind: 'text'; readonly text: string; readonly exitCode: number }
  | {
      readonly kind: 'command';
      readonly command: Command;
      readonly args: Args;
      readonly options: GlobalOptions;
      /** The argument of `-C`. */
      readonly directory: string | undefined;
    };

const exitCodeHelp = [
  'Exit codes: 0 done, 1 failed, 2 usage, 3 no such path or reference, 4 objects missing here,',
  '5 corrupt data, 6 conflict, 7 the gate said no, 8 remote unreachable or refused, 130 interrupted.',
].join('\n');

/**
 * Parses a command line; only the module of the command that is named is loaded.
 * @throws MstoreError `usage`
 */
export async function parseCommandLine(
  argv: readonly string[],
  version: string,
): Promise<ParsedCommandLine> {
  if (argv[0] === completionFlag) {
    const parserOf = (command: Command | undefined): Argv => {
      const parser = globalOptions(yargs([])).help('help').version(version);
      return command?.options?.(parser) ?? parser;
    };
    const text = (await proposals(argv.slice(1), parserOf)).join('\n');
    return { kind: 'text', text, exitCode: exitCodes.done };
  }
  let chosen: { command: Command; args: Args } | undefined;
  const loaded = await loadNamed(argv);
  let parser = globalOptions(
    yargs()
      .scriptName('mstore')
      .usage('$0 <command>\n\nKeeps models beside Git: chunks once, verified always.'),
  );
  for (const { name, about } of commandTable) {
    const command = loaded.get(name);
    parser = parser.command(
      command === undefined ? name : `${name} ${command.positionals}`.trim(),
      about,
      (inner) => (command === undefined ? inner : describe(inner, command)),
      (args) => {
        if (command !== undefined) chosen = { command, args: args as Args };
      },
    );
  }
  let text = '';
  const failures: string[] = [];
  parser = parser
    // Texts in the user's language would stand among ours, which are English.
    .detectLocale(false)
    .demandCommand(1, 'Name a command')
    .strict()
    .recommendCommands()
    .completion('completion', 'Print a completion script for bash or zsh')
    .help('help')
    .alias('help', 'h')
    .version(version)
    .epilogue(exitCodeHelp)
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .parserConfiguration({
      'parse-positional-numbers': false,
      'duplicate-arguments-array': true,
      'strip-aliased': true,
    })
    .exitProcess(false)
    .fail((message, error) => {
      if (error instanceof Error && message === null) throw error;
      failures.push(message ?? error.message);
    });
  const args = (await parser.parse([...argv], {}, (_error, _args, output) => {
    text = output;
  })) as Args;
  if (failures.length > 0) throw usage(failures, argv);
  if (chosen === undefined) {
    return { kind: 'text', text, exitCode: text === '' ? exitCodes.usage : exitCodes.done };
  }
  return { kind: 'command', ...chosen, options: readOptions(args), directory: lastText(args['C']) };
}

/** Loads the module of the first word that is a command; the help of all needs none. */
async function loadNamed(argv: readonly string[]): Promise<Map<string, Command>> {
  for (const word of argv) {
    const entry = commandTable.find(({ name }) => name === word);
    if (entry !== undefined) return new Map([[entry.name, await entry.load()]]);
  }
  return new Map();
}

function describe(parser: Argv, command: Command): Argv {
  const described = command.options?.(parser) ?? parser;
  return command.examples.reduce<Argv>((p, [line, about]) => p.example(line, about), described);
}

function globalOptions(parser: Argv): Argv {
  return parser
    .option('C', {
      type: 'string',
      describe: 'Run as if started in this folder',
      requiresArg: true,
      global: true,
    })
    .option('json', { type: 'boolean', describe: 'Print one JSON document', global: true })
    .option('json-events', {
      type: 'boolean',
      describe: 'Print JSON events, one a line, the result last',
      global: true,
    })
    .option('quiet', {
      alias: 'q',
      type: 'boolean',
      describe: 'Say nothing but results and errors',
      global: true,
    })
    .option('verbose', {
      alias: 'v',
      type: 'boolean',
      describe: 'Show causes and stacks of errors',
      global: true,
    })
    .option('progress', {
      type: 'boolean',
      default: true,
      describe: 'Show progress (--no-progress: do not)',
      global: true,
    })
    .option('offline', {
      type: 'boolean',
      describe: 'Make any use of the network an error',
      global: true,
    })
    .option('jobs', {
      type: 'string',
      describe: 'Transfers at once',
      requiresArg: true,
      global: true,
    });
}

function readOptions(args: Args): GlobalOptions {
  const flag = (name: string): boolean => {
    const value = args[name];
    return (Array.isArray(value) ? value.at(-1) : value) === true;
  };
  const jobs = lastText(args['jobs']);
  if (jobs !== undefined && !/^[1-9]\d{0,2}$/.test(jobs)) {
    throw new MstoreError('usage', `--jobs needs a number from 1 to 999, not ${printable(jobs)}`, {
      hint: 'It says how many transfers run at once; 4 is the default',
    });
  }
  return {
    json: flag('json'),
    jsonEvents: flag('json-events'),
    quiet: flag('quiet'),
    verbose: flag('verbose'),
    progress: flag('progress'),
    offline: flag('offline'),
    jobs: jobs === undefined ? undefined : Number(jobs),
  };
}

function lastText(value: unknown): string | undefined {
  const last = Array.isArray(value) ? value.at(-1) : value;
  return typeof last === 'string' ? last : undefined;
}

/** The parser reports a guess of what was meant before the fault itself: it makes a better hint. */
function usage(failures: readonly string[], argv: readonly string[]): MstoreError {
  const name = argv.find((word) => commandTable.some((entry) => entry.name === word));
  const lines = failures.map((failure) =>
    failure.trim().replace(/(:?)\s*\n\s*/g, (_, colon) => (colon === '' ? '. ' : ': ')),
  );
  const guess = lines.find((line) => line.startsWith('Did you mean'));
  const fault = lines.findLast((line) => line !== guess) ?? 'The command line cannot be read';
  const isWord = argv.some((word) => fault === `Unknown argument: ${word}`);
  const message = name === undefined && isWord ? fault.replace('argument', 'command') : fault;
  return new MstoreError('usage', printable(message), {
    hint: guess ?? `Run "mstore ${name === undefined ? '' : `${name} `}--help"`,
  });
}
