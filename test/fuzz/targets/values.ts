import { formatBytes, parseBytes } from '../../../src/base/format-bytes.ts';
import { parseOwner } from '../../../src/base/host.ts';
import { limits } from '../../../src/base/limits.ts';
import { nameProblem, pathProblem, printable } from '../../../src/base/names.ts';
import { parseMoment } from '../../../src/cli/moment.ts';
import { parseSpan } from '../../../src/cli/text.ts';
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
