import yargs, { type Argv } from 'yargs';
import { exitCodes, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import { jobsMax } from '../worktree/config-keys.ts';
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
  '5 corrupt data, 6 conflict, 7 the gate or a check said no, 8 remote unreachable or refused, 130 interrupted.',
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
      .usage('$0 <command>\n\nKeeps versions of models beside Git, verified, each chunk once.'),
  );
  const sole = wantsHelp(argv) ? undefined : loaded.get(argv[0] ?? '');
  for (const { name, about } of commandTable) {
    const command = loaded.get(name);
    if (sole !== undefined && command !== sole) continue;
    parser = parser.command(
      `${sole === undefined ? name : '$0'} ${command?.positionals ?? ''}`.trim(),
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
    .demandCommand(sole === undefined ? 1 : 0, 'Name a command')
    .strict()
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
  const words = plainPaths(sole === undefined ? argv : argv.slice(1));
  const args = (await parser.parse(words, {}, (_error, _args, output) => {
    text = output;
  })) as Args;
  if (failures.length > 0) throw usage(failures, argv);
  if (chosen === undefined) {
    return { kind: 'text', text, exitCode: text === '' ? exitCodes.usage : exitCodes.done };
  }
  return { kind: 'command', ...chosen, options: readOptions(args), directory: lastText(args['C']) };
}

/**
 * Tells whether words may ask for help. Where they do not, and a command comes first, the parser is told
 * of that one alone: with several it lays out a help text, wanted or not, which takes longer than all
 * else it does.
 */
function wantsHelp(argv: readonly string[]): boolean {
  return argv.some((word) => word === 'help' || /^-(?:-help|[^-]*h)/.test(word));
}

/**
 * What follows `--` is no option, whatever it starts with; the parser is handed it as a path that cannot
 * be taken for one.
 */
function plainPaths(argv: readonly string[]): string[] {
  const at = argv.indexOf('--');
  if (at === -1) return [...argv];
  const rest = argv.slice(at + 1).map((word) => (word.startsWith('-') ? `./${word}` : word));
  return [...argv.slice(0, at), ...rest];
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
      describe: 'Transfers at once; 1 also keeps other work on one thread',
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
  if (jobs !== undefined && !(/^\d{1,3}$/.test(jobs) && +jobs >= 1 && +jobs <= jobsMax)) {
    throw new MstoreError(
      'usage',
      `--jobs needs a number from 1 to ${jobsMax}, not ${printable(jobs)}`,
      {
        hint: 'It says how many transfers run at once; 4 is the default. 1 also keeps other work on one thread',
      },
    );
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

/** Puts the parser's complaints into our words: what is wrong, and what to write. */
function usage(failures: readonly string[], argv: readonly string[]): MstoreError {
  const entry = commandTable.find(({ name }) => argv.includes(name));
  const fault = (failures.at(-1) ?? 'The command line cannot be read')
    .trim()
    .replace(/\s*\n\s*/g, ' ');
  const help = `Run "mstore ${entry === undefined ? '' : `${entry.name} `}--help"`;
  const unknown = /^Unknown arguments?: (.*)$/.exec(fault)?.[1]?.split(', ') ?? [];
  const [first] = unknown;
  if (first === undefined)
    return new MstoreError('usage', printable(reword(fault)), { hint: help });
  const word =
    argv.find((given) => given.replace(/^--?(?:no-)?/, '').split('=')[0] === first) ?? first;
  if (entry !== undefined || word.startsWith('-')) {
    const kind = word.startsWith('-') ? 'option' : 'argument';
    return new MstoreError('usage', `Unknown ${kind}: ${printable(word)}`, { hint: help });
  }
  const near = nearest(
    word,
    commandTable.map(({ name }) => name),
  );
  const hint = near === undefined ? help : `Did you mean ${near}?`;
  return new MstoreError('usage', `Unknown command: ${printable(word)}`, { hint });
}

function reword(fault: string): string {
  if (fault.startsWith('Not enough non-option arguments')) return 'An argument is missing';
  const choice = /^Invalid values: Argument: (\w+), Given: (.*), Choices: (.*)$/.exec(fault);
  if (choice === null) return fault;
  return `There is no ${choice[1]} ${choice[2]}; there are ${choice[3]?.replaceAll('"', '')}`;
}
