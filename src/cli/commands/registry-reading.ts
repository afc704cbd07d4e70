import type { Argv } from 'yargs';
import { exitCodes, type MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { Workspace } from '../../flow/workspace.ts';
import type { Registry } from '../../registry/registry.ts';
import { type Args, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { shorten } from '../text.ts';

/** Characters of a name of a person that are shown where space is short. */
const personLengthMax = 28;

/** Adds the option that says which registry is read. */
export function readingOptions(parser: Argv): Argv {
  return parser.option('remote', {
    type: 'string',
    requiresArg: true,
    describe: 'Ask this remote, by name, URL or directory, instead of the local registry',
  });
}

/** Opens the registry that `--remote` names, else the local one. */
export async function openToRead(
  context: Context,
  workspace: Workspace,
  args: Args,
): Promise<Registry> {
  const { registryToRead } = await import('../../flow/registry-read.ts');
  const named = textOf(args, 'remote');
  const options = { signal: context.signal };
  if (named === undefined) return registryToRead(workspace, undefined, options);
  const { chooseRemote } = await import('../../flow/remotes.ts');
  return registryToRead(workspace, await chooseRemote(workspace, named, context.cwd), options);
}

/** Tells of objects that are damaged and were left out of a list. */
export interface DamageTold {
  readonly onDamage: (error: MstoreError) => void;
  /** What the document says of them: nothing where there are none. */
  document(): object;
  /** The exit code of the command. */
  exitCode(): number | undefined;
}

/** Tells people of each damaged object as it is found. */
export function damageTold(context: Context): DamageTold {
  const problems: object[] = [];
  return {
    onDamage(error) {
      const { code, message, hint } = error;
      problems.push({ code, message, hint });
      context.fail(error);
    },
    document: () => (problems.length === 0 ? {} : { problems }),
    exitCode: () => (problems.length === 0 ? undefined : exitCodes.corrupt),
  };
}

/** Shows who did something, in little space. */
export function shownPerson(name: string): string {
  return shorten(printable(name), personLengthMax);
}
