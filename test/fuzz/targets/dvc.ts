import { pathProblem } from '../../../src/base/names.ts';
import { DvcConfig } from '../../../src/dvc/config.ts';
import { contentHash } from '../../../src/dvc/content-hash.ts';
import { parseDirectoryList } from '../../../src/dvc/directory-list.ts';
import { isMd5, objectKey } from '../../../src/dvc/object-key.ts';
import { type DvcOutput, parseDvcFile, parseDvcLock } from '../../../src/dvc/outputs.ts';
import { parseData } from '../../../src/registry/data-file.ts';
import { listText, md5Of } from '../../support/dvc-text.ts';
import { type FuzzTarget, promise, refused, refusedLater } from '../target.ts';

const md5 = md5Of('x');
const out = `outs:\n- md5: ${md5}.dir\n  size: 3\n  nfiles: 2\n  hash: md5\n  path: data\n`;
const lock = `schema: '2.0'\nstages:\n  a@1:\n    cmd: x\n    ${out.replaceAll('\n', '\n    ')}`;

/** A `.dvc` file, and a `dvc.lock` whose `dvc.yaml` it is too. */
export const dvcOutputs: FuzzTarget = {
  name: 'dvc-outputs',
  bytesMax: 16 * 1024,
  seeds: () => ({
    plain: out,
    old: `md5: ${md5}\nwdir: ../w\ndeps:\n- path: x\n  repo: {url: https://h/r}\n${out.replace('  hash: md5\n', '')}`,
    lock,
    stages:
      'stages:\n  a:\n    foreach: [1]\n    do:\n      wdir: w\n      outs:\n      - data: {cache: false, remote: r}\n',
  }),
  words: [
    'outs:',
    '- md5: ',
    'path: ',
    'wdir: ',
    '../',
    'stages:',
    "schema: '2.0'",
    '.dir',
    'hash: md5',
  ],
  async run(bytes) {
    const value = await refusedLater(['corrupt-source', 'too-large'], () =>
      parseData(bytes, 'a/m.dvc', 'corrupt-source', 'yaml'),
    );
    const codes = ['corrupt-source'] as const;
    const found: DvcOutput[] = [
      ...(refused(codes, () => parseDvcFile(value, 'a/m.dvc')) ?? []),
      ...(refused(codes, () => parseDvcLock(value, value, 'a/dvc.lock')) ?? []),
    ];
    for (const { object, path: name, problem } of found) {
      promise(
        (object === undefined) === (problem !== undefined),
        'what cannot be had has a reason',
      );
      if (object === undefined) continue;
      promise(pathProblem(name) === undefined, 'an output lies in its repository');
      promise(
        /^(?:files\/md5\/)?[0-9a-f]{2}\/[0-9a-f]{30}(?:\.dir)?$/.test(objectKey(object)),
        'a key',
      );
    }
  },
};

/** The list of a directory, whose name is that of the bytes. */
export const dvcList: FuzzTarget = {
  name: 'dvc-list',
  bytesMax: 16 * 1024,
  seeds: () => ({
    list: listText(['a', 'sub/ü𝒳'].map((relpath) => ({ md5, relpath }))),
    empty: '[]',
  }),
  words: ['"relpath": ', '"md5": ', md5, '../', '\\u00fc'],
  run(bytes) {
    const found = refused(['corrupt-source'], () =>
      parseDirectoryList(bytes, md5Of(bytes), 'list'),
    );
    const names = new Set<string>();
    for (const { path: name, md5: digest } of found ?? []) {
      promise(pathProblem(name) === undefined && isMd5(digest), 'a file has a place and a name');
      promise(!names.has(name), 'no file is named twice');
      names.add(name);
    }
  },
};

/** Three files of configuration, one over the other, here all the same. */
export const dvcConfig: FuzzTarget = {
  name: 'dvc-config',
  bytesMax: 16 * 1024,
  seeds: () => ({
    plain: '[core]\n    remote = r\n[\'remote "r"\']\n    url = ../../store # there\n',
    below:
      '[remote "r"]\nurl = remote://b/x\n[remote "b"]\nurl = "s3://bucket/a"\n[cache]\ndir = ~/c\n',
  }),
  words: ['[\'remote "r"\']', 'url = ', 'remote://r/', 'remote://b', '"', "'", '#'],
  run(bytes) {
    const text = bytes.toString();
    const codes = ['config-invalid', 'unknown-remote'] as const;
    const config = refused(codes, () => {
      const file = { file: '/repo/.dvc/config', text, isOwn: false };
      return new DvcConfig([file, file], '/place');
    });
    if (config === undefined) return;
    const cache = refused(codes, () => config.cacheFolder);
    promise(cache === undefined || cache.startsWith('/'), 'the cache is an absolute folder');
    const remote = refused(codes, () => config.remote(config.defaultRemote ?? 'r'));
    if (remote === undefined) return;
    promise(!remote.url.startsWith('remote://'), 'a remote has a place of its own');
  },
};

/** Whatever the blocks, DVC 2 gives bytes one name, and their plain MD5 is one too. */
export const dvcNames: FuzzTarget = {
  name: 'dvc-names',
  bytesMax: 16 * 1024,
  seeds: () => ({ text: 'a\r\nb\r\n', binary: Buffer.from([0, 13, 10, 255]) }),
  words: ['\r\n', '\r', '\0'],
  run(bytes) {
    const unix = Buffer.from(bytes.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
    const isNamed = (block: number, name: string): boolean => {
      const hash = contentHash('md5-dos2unix');
      for (let at = 0; at < bytes.length; at += block) hash.update(bytes.subarray(at, at + block));
      return hash.is(name);
    };
    promise(isNamed(7, md5Of(bytes)), 'the plain MD5 is a name');
    promise(isNamed(7, md5Of(unix)) === isNamed(4096, md5Of(unix)), 'blocks make no difference');
  },
};
