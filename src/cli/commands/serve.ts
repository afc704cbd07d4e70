import * as path from 'node:path';
import type { Argv } from 'yargs';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { type Args, type Command, listOf, textOf } from '../command.ts';
import type { Context } from '../context.ts';

const gib = 1024 ** 3;

export const serveCommand: Command = {
  positionals: '',
  options: (parser) =>
    furtherOptions(parser)
      .option('host', {
        type: 'string',
        default: '127.0.0.1',
        requiresArg: true,
        describe: 'Address to listen at',
      })
      .option('port', {
        type: 'number',
        default: 8080,
        requiresArg: true,
        describe: 'Port to listen at; 0 for any that is free',
      })
      .option('remote', {
        type: 'string',
        requiresArg: true,
        describe: 'Name, URL or directory of the remote; default: the default remote',
      })
      .option('token-file', {
        type: 'string',
        requiresArg: true,
        describe: 'Let in whom this file lists (mstore token create)',
      })
      .option('anonymous', {
        choices: ['none', 'read'] as const,
        requiresArg: true,
        describe: 'What may be done without a token',
      })
      .option('page', {
        type: 'boolean',
        default: true,
        describe: 'Show a page of all models at the URL (--no-page: show none)',
      })
      .option('state', {
        type: 'string',
        requiresArg: true,
        describe: 'Folder for uploads that are under way',
      })
      .option('cache', {
        type: 'string',
        requiresArg: true,
        describe: 'Keep what is read in this folder, for all who read it',
      })
      .option('cache-space', {
        type: 'number',
        default: 50,
        requiresArg: true,
        describe: 'GiB that --cache may take',
      })
      .option('url-file', {
        type: 'string',
        requiresArg: true,
        describe: 'Write the URL to this file as long as the server listens',
      })
      .option('tls-cert', { type: 'string', requiresArg: true, describe: 'Certificate, PEM' })
      .option('tls-key', { type: 'string', requiresArg: true, describe: 'Its key, PEM' })
      .option('requests-per-minute', {
        type: 'number',
        default: 60_000,
        requiresArg: true,
        describe: 'Requests a minute that one token, or one address without one, may make',
      })
      .option('upload-space', {
        type: 'number',
        default: 64,
        requiresArg: true,
        describe: 'GiB of uploads that may be under way at once',
      }),
  examples: [
    ['mstore serve', 'Serve the default remote to programs of this machine'],
    [
      'mstore serve --host 0.0.0.0 --token-file tokens.json --tls-cert cert.pem --tls-key key.pem',
      'Serve it to others, who each have a token',
    ],
    [
      'HF_ENDPOINT=http://127.0.0.1:8080 hf download bert --revision production',
      "Load a model by the Hugging Face Hub's own client",
    ],
  ],
  async run(context, args) {
    const { serve } = await import('../../server/serve.ts');
    const { cwd, surroundings, signal } = context;
    await serve({
      cwd,
      surroundings,
      signal,
      remote: textOf(args, 'remote'),
      host: textOf(args, 'host') ?? '127.0.0.1',
      port: numberOf(args, 'port', 0, 65_535),
      tokenFile: fileOf(context, args, 'token-file'),
      anonymous: textOf(args, 'anonymous') as 'none' | 'read' | undefined,
      page: args['page'] !== false,
      stateFolder: fileOf(context, args, 'state'),
      urlFile: fileOf(context, args, 'url-file'),
      notify: listOf(args, 'notify'),
      trustedProxies: listOf(args, 'trusted-proxy'),
      rulesFile: fileOf(context, args, 'rules'),
      recordFile: fileOf(context, args, 'record'),
      requestsPerMinute: numberOf(args, 'requests-per-minute', 1, 1e9),
      uploadBytesMax: numberOf(args, 'upload-space', 1, 1e6) * gib,
      cache: cacheOf(context, args),
      tls: tlsOf(context, args),
      log: { write: (line) => void context.write(Buffer.from(line)).catch(() => {}) },
      onListening({ url, location }) {
        context.note(`Serving ${printable(location)} at ${url}`);
      },
    });
    return undefined;
  },
};

function furtherOptions(parser: Argv): Argv {
  return parser
    .option('notify', {
      type: 'array',
      string: true,
      requiresArg: true,
      describe: 'Tell this URL of what happens to environments; signed with MSTORE_NOTIFY_SECRET',
    })
    .option('trusted-proxy', {
      type: 'array',
      string: true,
      requiresArg: true,
      describe: 'Address or network of a proxy in front, which says who asks (X-Forwarded-For)',
    })
    .option('rules', {
      type: 'string',
      requiresArg: true,
      describe: 'TOML with tables [monitor.ENVIRONMENT]; default: the configuration here',
    })
    .option('record', {
      type: 'string',
      requiresArg: true,
      describe: 'Write down what hosts tell of models, for "mstore simulate"',
    });
}

function numberOf(args: Args, name: string, least: number, most: number): number {
  const value = Number(args[name]);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new MstoreError('usage', `--${name} takes a whole number from ${least} to ${most}`, {
    hint: 'Run "mstore serve --help"',
  });
}

function fileOf({ cwd }: Context, args: Args, name: string): string | undefined {
  const given = textOf(args, name);
  return given === undefined ? undefined : path.resolve(cwd, given);
}

function cacheOf(context: Context, args: Args) {
  const folder = fileOf(context, args, 'cache');
  const bytesMax = numberOf(args, 'cache-space', 1, 1e6) * gib;
  return folder === undefined ? undefined : { folder, bytesMax };
}

function tlsOf(context: Context, args: Args): { cert: string; key: string } | undefined {
  const cert = fileOf(context, args, 'tls-cert');
  const key = fileOf(context, args, 'tls-key');
  if (cert === undefined && key === undefined) return undefined;
  if (cert !== undefined && key !== undefined) return { cert, key };
  throw new MstoreError('usage', 'TLS needs a certificate and its key', {
    hint: 'Write --tls-cert FILE --tls-key FILE',
  });
}
