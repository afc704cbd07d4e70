import { paxRecord, type RawEntry, rawTar } from '../support/packages.ts';

/**
 * Inputs that are small to write and meant to cost much to read, by target and name: each can be made of any
 * length.
 */
type Shape = (bytes: number) => string | Uint8Array;

/** Repeats a text up to a length. */
function repeated(text: string): Shape {
  return (bytes) => text.repeat(Math.max(1, Math.floor(bytes / Buffer.byteLength(text))));
}

/** What stands before and behind a text that is repeated. */
function within(start: string, text: string, end = ''): Shape {
  return (bytes) => start + repeated(text)(bytes - start.length - end.length) + end;
}

/** Opens levels, and closes them. */
function nested(open: string, close: string, start = '', end = ''): Shape {
  return (bytes) => {
    const levels = Math.floor((bytes - start.length - end.length) / (open.length + close.length));
    return start + open.repeat(levels) + close.repeat(levels) + end;
  };
}

/** Lines that differ by their number. */
function numbered(line: (i: number) => string, start = '', end = ''): Shape {
  return (bytes) => {
    let text = start;
    for (let i = 0; text.length + end.length < bytes; i++) text += line(i);
    return text + end;
  };
}

const yaml: Readonly<Record<string, Shape>> = {
  ...Object.fromEntries(
    [
      ...[
        '- ',
        '? ',
        '[',
        '{',
        '[a,',
        ': ',
        ':\n',
        '&a ',
        '!a ',
        '- *a\n',
        '"',
        "'",
        '\t\n',
        '#\n',
      ],
      ...[
        '---\n',
        '%a\n',
        '|\n',
        ',',
        '}',
        ']',
        'a: b: c\n',
        '@',
        '`\n',
        'a: 1\n',
        'a:\n  - b\n c\n',
      ],
      ...['{:', '[?', '...\n', '\r', '"a" ', '- :', '? - ', '- -\n', '\n', ' ', '\ufeff', 'a\\'],
    ].map((text) => [`yaml of ${JSON.stringify(text)}`, repeated(text)]),
  ),
  'yaml, indented ever more': (bytes) => {
    let text = '';
    for (let i = 0; text.length < bytes; i++) text += `${' '.repeat(i)}a:\n`;
    return text;
  },
  'yaml, one text of many lines': within('a: ', 'b\n '),
  'yaml, escapes': within('"', '\\q'),
  'yaml, folded': within('>\n', ' a\n'),
  'yaml, merges': within('a: &a {x: 1}\n', '<<: *a\n'),
  'yaml, aliases of aliases': numbered(
    (i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(9)}]\n`,
    'a0: &a0 [x]\n',
  ),
  'yaml, one flow after another': within('{', 'a: 1, '),
  'yaml, names': numbered((i) => `name-${i}: ${i}\n`),
};

const json: Readonly<Record<string, Shape>> = {
  'json, lists in lists': nested('[', ']', '{"a":', '}'),
  'json, objects in objects': nested('{"a":', '}', '', '1'),
  'json, levels that are not closed': repeated('{"a":['),
  'json, one text of escapes': within('{"a":"', '\\\\', '"}'),
  'json, one text of quotes': within('{"a":"', '\\"', '"}'),
  'json, names': numbered((i) => `"name-${i}":${i},`, '{', '"end":0}'),
  'json, no numbers': repeated('{"a": NaN, '),
  'json, numbers': within('{"a":[', '1,', '1]}'),
};

const digest = 'ab'.repeat(32);
const file = (path: string): string => `{"path":"${path}","size":0,"sha256":"${digest}"},`;

/** Entries of a tree; names ascend. */
function entriesOf(entry: (name: string) => string): Shape {
  return numbered((i) => entry(String(i).padStart(8, '0')), '[', `{"path":"z","link":"0"}]`);
}

const trees: Readonly<Record<string, Shape>> = {
  'links that go to and fro': entriesOf(
    (name) => `{"path":"${name}","link":"${'z/../'.repeat(800)}z"},`,
  ),
  'links that lead deep': entriesOf((name) => `{"path":"${name}","link":"${'a/'.repeat(2000)}"},`),
  'links in a row': entriesOf((name) => {
    const next = String(Number(name) + 1).padStart(8, '0');
    return `{"path":"${name}","link":"${'./'.repeat(40)}${next}"},`;
  }),
  'folders of their own, deep': entriesOf((name) => file(`${name}${'/a'.repeat(128)}`)),
  'folders in capitals, deep': entriesOf((name) => file(`${name}${'/ÀÉÎÕÜ'.repeat(128)}`)),
  'names alone': entriesOf(file),
};

/** Puts a list of files behind what stands before it in another object. */
const inObject =
  (start: string) =>
  (shape: Shape): Shape =>
  (bytes) =>
    `${start}${shape(bytes - start.length - 1)}}`;

const inPointer = inObject(
  `{"mstore":1,"path":"a","kind":"tree","sha256":"${digest}","size":0,"files":`,
);

const packaged = `{"mstore":1,"name":"a","content":{"path":"a","kind":"tree","sha256":"${digest}","size":0},`;

const inManifest = inObject(`${packaged}"files":`);

/** An archive with as many entries of a kind as have the length. */
const entriesAlike =
  (entry: RawEntry): Shape =>
  (bytes) => {
    const count = Math.max(1, Math.floor(bytes / rawTar([entry], Buffer.alloc(0)).length));
    return rawTar(Array.from({ length: count }, () => entry));
  };

/** Marks that a writer of Unicode brings in order, one by one. */
const marks = '\u0315\u0300';

const toml: Readonly<Record<string, Shape>> = {
  'a key of many parts': within('a', '.a', '=1'),
  'a table of many parts': within('[a', '.a', ']\nb=1'),
  'lists in lists': nested('[', ']', 'a='),
  'lists that are not closed': within('a=', '['),
  'tables in tables': nested('{a=', '}', 'a=', '1'),
  tables: numbered((i) => `[a.b${i}]\nc=1\n`),
  'lists of tables': repeated('[[a]]\n'),
  'keys of the same table': numbered((i) => `a.b${i}=1\n`),
  'parts of one key': within('[core]\nremote="', '\\n', '"'),
  'quotes that are not closed': within('a="', '\\"'),
  comments: repeated('#\n'),
  'a text of many lines': within('a="""', '\n', '"""'),
  'white space': within('a', ' ', '=1'),
  weights: numbered((i) => `m${i}.x=1\n`, '[policy.production.weights]\n'),
  limits: numbered((i) => `m${i}={min=1}\n`, '[policy.production.limits]\n'),
};

/** Opcodes of a pickle. */
const opcodesOf = (text: string): Shape => {
  const shape = within('', text);
  return (bytes) => Buffer.from(String(shape(bytes)), 'latin1');
};

const pickles: Readonly<Record<string, Shape>> = {
  'values that are kept': opcodesOf('N\x94'),
  'containers that are kept': opcodesOf(']\x940'),
  'containers in containers': opcodesOf(')\x85'),
  'marks without end': opcodesOf('('),
  'tuples of nothing': opcodesOf('(t'),
  'tuples of all': opcodesOf('NNNt'),
  imports: opcodesOf('ca\nb\n'),
  calls: opcodesOf('ca\nb\n)R'),
  'one line': opcodesOf('Va'),
  'indexes of the memo': (bytes) => `Np${'0'.repeat(bytes - 4)}x\n`,
  'spaces in an index': (bytes) => `Np${' '.repeat(bytes - 5)}0x\n`,
  'pickles one behind the other': opcodesOf('\x80\x02N.'),
  'pickles that are carried': opcodesOf('C\x04\x80\x02N.'),
};

const texts: Readonly<Record<string, Shape>> = {
  ...json,
  'a shape of many lengths': within('{"a":{"shape":[', '9007199254740991,', '1]}}'),
  labels: numbered((i) => `label ${i % 7}\n`),
};

const object = `object ${'ab'.repeat(20)}\ntype commit\ntag v1\n`;

/** By target. */
export const hostileShapes: Readonly<Record<string, Readonly<Record<string, Shape>>>> = {
  metrics: { ...yaml, ...json },
  metadata: { ...yaml, ...json },
  'registry-file': {
    ...json,
    versions: numbered((i) => `"v${i}":{},`, '{"models":{"a":{', '"v":{}}}}'),
    'records in records': nested('{"a":', '}', '{"models":{},"records":{"a":{"v1":', '}}}'),
  },
  'dvc-outputs': {
    ...yaml,
    outputs: numbered((i) => `- {path: 'a${i}', md5: ${'0'.repeat(32)}}\n`, 'outs:\n'),
    stages: numbered((i) => ` s${i}: {outs: [{path: o}]}\n`, "schema: '2.0'\nstages:\n"),
  },
  'dvc-list': {
    ...json,
    files: numbered((i) => `{"md5":"${'0'.repeat(32)}","relpath":"${i}"},`, '[', '{}]'),
  },
  'dvc-config': {
    'one line': repeated('['),
    sections: numbered((i) => `[s${i}]\na = b\n`),
    'signs of a comment': within('[a]\nb = c', ' #'),
    quotes: within("[a]\nb = '", '"'),
    spaces: within('[a]\nb = c', ' '),
  },
  'dvc-names': { pairs: repeated('\r\n'), returns: repeated('\r') },
  'validate-pickle': pickles,
  'validate-texts': texts,
  pointer: {
    ...Object.fromEntries(Object.entries(trees).map(([name, shape]) => [name, inPointer(shape)])),
    ...json,
    'a name of marks': within('{"mstore":1,"kind":"file","path":"a', marks, '"}'),
    'keys that are not known, in levels': nested(
      '[',
      ']',
      `{"mstore":1,"path":"a","kind":"file","sha256":"${digest}","size":1,"x":`,
      '}',
    ),
    'conflict markers': repeated('<<<<<<< '),
  },
  tree: trees,
  'package-manifest': {
    ...Object.fromEntries(Object.entries(trees).map(([name, shape]) => [name, inManifest(shape)])),
    ...json,
    objects: numbered(
      (i) => `{"key":"a/${String(i).padStart(8, '0')}","size":1,"sha256":"${digest}"},`,
      `${packaged}"model":"a","version":"1","record":"${digest}","registry":[`,
      '{}]}',
    ),
  },
  package: {
    'pax headers': entriesAlike({ name: 'p', type: 'x', bytes: paxRecord('a', 'b') }),
    'global pax headers': entriesAlike({ name: 'p', type: 'g', bytes: paxRecord('a', 'b') }),
    'long names': entriesAlike({ name: 'p', type: 'L', bytes: 'a\0' }),
    'records of one pax header': (bytes) =>
      rawTar([{ name: 'p', type: 'x', bytes: paxRecord('a', 'b').repeat(bytes / 8) }]),
    'pax records of no length': (bytes) =>
      rawTar([{ name: 'p', type: 'x', bytes: '1 a=\n'.repeat(bytes / 5) }]),
    'names in a pax header': (bytes) =>
      rawTar([{ name: 'p', type: 'x', bytes: paxRecord('path', 'a/'.repeat(bytes / 2)) }]),
    zeros: (bytes) => Buffer.alloc(bytes),
    'entries without bytes': entriesAlike({ name: 'a' }),
  },
  header: json,
  record: {
    ...json,
    levels: nested('{"a":', '}', `{"mstore":1,"sha256":"${digest}","record":`, '1}'),
  },
  'canonical-json': json,
  config: toml,
  'toml-edit': toml,
  'stat-cache': json,
  'git-tag': {
    'signs of a mail': within(`${object}tagger `, '<'),
    'ends of a mail': within(`${object}tagger a <`, '> '),
    digits: within(`${object}tagger a <b> `, '1'),
    taggers: within(object, 'tagger a <b> 1\n'),
    signatures: within(`${object}\n\n`, '-----BEGIN PGP A'),
    'lines of signatures': within(`${object}\n\n`, '-----BEGIN PGP A-----\n'),
    spaces: within(`${object}\n\nm`, ' ', 'm'),
  },
  'git-object': {
    parents: within(`tree ${'ab'.repeat(20)}\n`, `parent ${'ab'.repeat(20)}\n`),
    lines: repeated(`1 a\0${'b'.repeat(20)}`),
    spaces: repeated(' '),
  },
  'git-config': {
    continued: repeated('\\\n'),
    'sections that are not closed': within('[a "', '\\"'),
    spaces: within('[a]\nb', ' ', 'c'),
    'names without a value': within('[a]\n', 'b', '!'),
    backslashes: within('[a]\nb=', '\\', 'c'),
    quotes: within('[a]\nb=', '"'),
    sections: numbered((i) => `[a "${i}"]\nb=c\n`),
  },
  'git-refs': {
    packed: numbered((i) => `${'ab'.repeat(20)} refs/tags/v${i}\n`, '\0\0'),
    spaces: within('ref:', ' ', 'a b'),
    'a name of spaces': within('ref: a', ' ', 'b'),
  },
  'git-revision': { steps: within('HEAD', '~1'), names: repeated('a/') },
  'gto-tag': {
    'a name of signs': within('a', '-/_', '@v1.0.0'),
    digits: within('a@v1.0.', '1'),
    identifiers: within('a@v1.0.0-', '1a.', '!'),
  },
  reference: {
    at: repeated('@'),
    slashes: within('oci://h/', 'a/'),
    dots: within('oci://h/a', '._'),
  },
  'remote-url': {
    at: within('s3://', '@'),
    slashes: within('s3://bucket', '/a'),
    dots: repeated('../'),
  },
  name: { marks: within('a', marks), slashes: repeated('a/'), controls: repeated('\u001b') },
  values: { digits: repeated('1'), owner: within('{"host":"', 'a', '","pid":1}') },
  'version-order': { digits: within('v1.', '0'), identifiers: within('1-', 'a.', 'a') },
  'ignore-file': {
    stars: within('', '*', '\0\0aaaaaaaaaaaaaaaaaaaaaaaa'),
    'stars and letters': within('', '*a', 'b\0\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'),
    brackets: repeated('['),
    backslashes: repeated('\\'),
    patterns: numbered((i) => `*.a${i}\n`, '', '\0\0a/b'),
  },
};
