import { isDigest } from '../../../src/base/digest.ts';
import { formatBytes, parseBytes } from '../../../src/base/format-bytes.ts';
import { parseOwner } from '../../../src/base/host.ts';
import { limits } from '../../../src/base/limits.ts';
import { nameProblem, pathProblem, printable } from '../../../src/base/names.ts';
import { parseMoment } from '../../../src/cli/moment.ts';
import { parseSpan } from '../../../src/cli/text.ts';
import { exactForm, isPinOf, parseAsked } from '../../../src/flow/resolve/asked.ts';
import { parseEnv } from '../../../src/flow/resolve/environment.ts';
import { formatLock, parseLock } from '../../../src/flow/resolve/lock-file.ts';
import { isKeyName } from '../../../src/remote/keys.ts';
import { parseRemoteUrl } from '../../../src/remote/open.ts';
import { parseBucketUrl } from '../../../src/remote/service.ts';
import { type FuzzTarget, promise, refused } from '../target.ts';

export const values: FuzzTarget = {
  name: 'values',
  bytesMax: 4096,
  seeds: () => ({
    amount: '1.5 MiB',
    letter: '20M',
    span: '90m',
    day: '2026-11-21',
    moment: '2026-11-21T10:00:30.25+02:00',
    owner: '{"host":"abc","pid":17}',
  }),
  words: ['T', 'Z', '+', ':', 'kib', 'GB', '"pid":', '0000', '9999'],
  run(bytes) {
    const text = bytes.toString();
    const amount = parseBytes(text);
    promise(
      amount === undefined || (Number.isFinite(amount) && amount >= 0),
      'an amount is a number',
    );
    if (amount !== undefined) formatBytes(amount);
    const span = parseSpan(text);
    promise(span === undefined || (Number.isFinite(span) && span >= 0), 'a span is a number');
    const moment = refused(['usage'], () => parseMoment(text, '--at'));
    promise(
      moment === undefined || !Number.isNaN(new Date(moment).getTime()),
      'a moment is a time',
    );
    parseOwner(text);
  },
};

export const name: FuzzTarget = {
  name: 'name',
  bytesMax: 8192,
  seeds: () => ({ path: 'models/größe "π".txt', git: '.g\u200cit', long: 'a/'.repeat(60) }),
  words: ['/', '..', '.git', 'git~1', '\\', '\u202e', 'e\u0301', '\ufeff'],
  run(bytes) {
    const text = bytes.toString();
    const shown = printable(text);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    promise(!/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/.test(shown), 'what is shown is harmless');
    promise(shown.length < 8 * limits.pathBytesMax, 'what is shown has a bound');
    if (pathProblem(text) !== undefined) return;
    promise(!text.startsWith('/') && !text.includes('\0'), 'a path is relative');
    for (const one of text.split('/')) promise(nameProblem(one) === undefined, 'of good names');
  },
};

export const remoteUrl: FuzzTarget = {
  name: 'remote-url',
  bytesMax: 4096,
  seeds: () => ({
    bucket: 's3://bucket/a/b/',
    gs: 'gs://bucket',
    file: 'file:///srv/models%20x',
    home: '~/models',
    secret: 'https://user:secret@host/path?token=secret',
    host: 'host:path',
  }),
  words: ['://', '@', '%2f', '%00', '?', '#', '..', '\\'],
  run(bytes) {
    const url = bytes.toString();
    const address = refused(['usage'], () => parseRemoteUrl(url, { base: '/base', home: '/own' }));
    if (address?.kind === 'directory')
      promise(address.folder.startsWith('/'), 'a folder is absolute');
    const place = refused(['usage'], () => parseBucketUrl(url, 'shown'));
    if (place === undefined) return;
    promise(place.prefix === '' || place.prefix.endsWith('/'), 'a prefix is a folder');
    const names = place.prefix.split('/').slice(0, -1);
    promise(names.every(isKeyName), 'a prefix is of safe names');
  },
};

const digest = 'ab'.repeat(32);
const commit = 'cd'.repeat(20);
const pin = (exact: string, more: object = {}): object => ({
  exact,
  tree: digest,
  size: 7,
  ...more,
});

export const lockFile: FuzzTarget = {
  name: 'lock-file',
  bytesMax: 64 * 1024,
  seeds: () => ({
    empty: '{"mstore":1,"references":{}}',
    many: formatLock({
      mstore: 1,
      team: 'vision',
      references: {
        'bert@production': pin(`bert@v1#sha256=${digest}`, { record: digest }),
        'hf:org/bert@main': pin(`hf:org/bert@${commit}`),
        main: pin(`git:${commit}`),
        's3://b/f': pin(`s3://b/f#sha256=${digest}`),
        'local:../m': pin(`local:../m#sha256=${digest}`, { note: 'x' }),
      } as never,
    }),
  }),
  words: [
    '"mstore":',
    '"references":',
    '"exact":',
    '#sha256=',
    '__proto__',
    '../',
    'hf:',
    'git:',
    '@',
  ],
  run(bytes) {
    const codes = ['corrupt-lock', 'newer-format', 'too-large'] as const;
    const read = refused(codes, () => parseLock(bytes, 'models.lock'));
    if (read === undefined) return;
    for (const [name, { exact, tree, size, record }] of read.pins) {
      const [asked, pinned] = [parseAsked(name), parseAsked(exact)];
      promise(exactForm(pinned) !== undefined && isPinOf(pinned, asked), 'a pin is one');
      promise(isDigest(tree) && size >= 0, 'a pin tells what it is of');
      promise(
        (pinned.reference.kind === 'model') === (record !== undefined),
        'records are of versions',
      );
    }
    const text = formatLock(read.document);
    promise(formatLock(parseLock(Buffer.from(text), 'x').document) === text, 'it has one form');
  },
};

export const envFile: FuzzTarget = {
  name: 'env-file',
  bytesMax: 8192,
  seeds: () => ({ one: 'export MODEL_REF="bert@v1" # x\nA=1\n', two: "ML_MODEL_REF='a\nb'\r\n" }),
  words: ['MODEL_REF', '=', '"', "'", '`', '#', 'export ', '__proto__', '\n'],
  run(bytes) {
    const env = refused(['usage'], () => parseEnv({ MODEL_REF: 'kept' }, bytes, '.env'));
    if (env === undefined) return;
    promise(env['MODEL_REF'] === 'kept', 'the environment wins');
    promise(Object.getPrototypeOf(env) === Object.prototype, 'no prototype is set');
    for (const value of Object.values(env)) promise(typeof value === 'string', 'values are texts');
  },
};
