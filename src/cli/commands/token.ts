import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { TokenRecord } from '../../server/tokens.ts';
import { type Args, type Command, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';
import { table } from '../text.ts';

const dayMs = 24 * 60 * 60 * 1000;
const daysMax = 3650;

export const tokenCommand: Command = {
  positionals: '<action> [name]',
  options: (parser) =>
    parser
      .positional('action', {
        choices: ['create', 'list', 'revoke'] as const,
        describe: 'What to do',
      })
      .positional('name', { type: 'string', describe: 'Name of the token: who or what holds it' })
      .option('token-file', {
        type: 'string',
        requiresArg: true,
        demandOption: 'Name the file of tokens with --token-file',
        describe: 'File that the server reads',
      })
      .option('scope', {
        type: 'string',
        requiresArg: true,
        describe: 'What it allows: read, push, deploy, collect; several joined by commas',
      })
      .option('model', {
        type: 'string',
        requiresArg: true,
        describe: 'A model whose registry it is for, once for each; default: all',
      })
      .option('expires-in', {
        type: 'number',
        requiresArg: true,
        describe: 'Days until it ends; default: it does not',
      }),
  examples: [
    [
      'mstore token create ci --scope read,push --token-file tokens.json',
      'Make a token, and print it: it is kept nowhere',
    ],
    ['mstore token list --token-file tokens.json', 'Show who may do what'],
    ['mstore token revoke ci --token-file tokens.json', 'Take it back; a server knows in a second'],
  ],
  async run(context, args) {
    const action = textOf(args, 'action');
    if (action === 'list') await list(context, args);
    else if (action === 'create') await create(context, args);
    else await revoke(context, args);
    return undefined;
  },
};

function fileOf({ cwd }: Context, args: Args): string {
  return path.resolve(cwd, textOf(args, 'token-file') ?? '');
}

function nameIn(args: Args): string {
  const name = textOf(args, 'name');
  if (name !== undefined) return name;
  throw new MstoreError('usage', 'The name of the token is missing', {
    hint: 'Write mstore token create NAME --scope read --token-file FILE',
  });
}

async function list(context: Context, args: Args): Promise<void> {
  const { readTokens } = await import('../../server/tokens.ts');
  const tokens = readTokens(fileOf(context, args));
  const now = context.surroundings.clock.now();
  const rows = tokens.map(({ name, scopes, models, expires }) => [
    name,
    scopes.join(','),
    models?.join(',') ?? 'all models',
    expires === undefined ? 'does not end' : endText(expires, now),
  ]);
  const documents = tokens.map(({ sha256: _, ...rest }) => rest);
  context.result({ tokens: documents }, table(rows));
}

function endText(expires: string, now: number): string {
  return `${Date.parse(expires) <= now ? 'ended' : 'ends'} ${expires.slice(0, 10)}`;
}

async function create(context: Context, args: Args): Promise<void> {
  const { drawToken, isTokenName, scopes, tokenDigest } = await import('../../server/tokens.ts');
  const { changeTokens } = await import('../../server/token-file.ts');
  const name = nameIn(args);
  if (!isTokenName(name) || name === 'anonymous') {
    throw new MstoreError('bad-name', `${printable(name)} cannot be the name of a token`, {
      hint: 'Use small letters, digits, ".", "_" and "-", at most 64',
    });
  }
  const given = listOf(args, 'scope').flatMap((text) => text.split(','));
  const unknown = given.find((scope) => !scopes.includes(scope as (typeof scopes)[number]));
  if (given.length === 0 || unknown !== undefined) {
    throw new MstoreError(
      'usage',
      unknown === undefined
        ? 'A token without a scope allows nothing'
        : `There is no scope ${printable(unknown)}`,
      { hint: `Write --scope with one or more of ${scopes.join(', ')}` },
    );
  }
  const models = listOf(args, 'model');
  const { clock, random } = context.surroundings;
  const token = drawToken(random);
  const expires = expiryOf(args, clock.now());
  const record: TokenRecord = {
    name,
    sha256: tokenDigest(token).toString('hex'),
    scopes: scopes.filter((scope) => given.includes(scope)),
    ...(models.length === 0 ? {} : { models }),
    created: new Date(clock.now()).toISOString(),
    ...(expires === undefined ? {} : { expires }),
  };
  await changeTokens(fileOf(context, args), (tokens) => {
    if (!tokens.some((other) => other.name === name)) return [...tokens, record];
    throw new MstoreError('name-taken', `There is a token ${name} already`, {
      hint: `Take it back first: mstore token revoke ${name} --token-file FILE`,
    });
  });
  context.note(`Made the token ${name}; it is shown this once:`);
  const { sha256: _, ...rest } = record;
  context.result({ ...rest, token }, [token]);
}

function expiryOf(args: Args, now: number): string | undefined {
  if (args['expires-in'] === undefined) return undefined;
  const days = Number(args['expires-in']);
  if (days > 0 && days <= daysMax) return new Date(now + days * dayMs).toISOString();
  throw new MstoreError('usage', '--expires-in takes a number of days', {
    hint: `Write for example --expires-in 90; at most ${daysMax}`,
  });
}

async function revoke(context: Context, args: Args): Promise<void> {
  const { changeTokens } = await import('../../server/token-file.ts');
  const name = nameIn(args);
  await changeTokens(fileOf(context, args), (tokens) => {
    const left = tokens.filter((token) => token.name !== name);
    if (left.length < tokens.length) return left;
    throw new MstoreError('not-found', `There is no token ${printable(name)}`, {
      hint: 'See them with "mstore token list --token-file FILE"',
    });
  });
  context.note(`Took the token ${name} back`);
  context.result({ name }, []);
}
