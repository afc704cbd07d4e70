import * as fs from 'node:fs';
import * as path from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { bootToken } from '../../../src/base/host.ts';
import { fileClockNs, StatCache, stampNow } from '../../../src/worktree/stat-cache.ts';
import { tempFolder } from '../../support/temp.ts';

const digest = sha256('x');
const ms = 1_000_000n;
const start = 1_700_000_000_123_456_789n;

/** A stat with given times, in nanoseconds before the cache was opened. */
function statOf(
  mtimeAgo: bigint,
  ctimeAgo: bigint = mtimeAgo,
  change: object = {},
): fs.BigIntStats {
  const stat = { size: 5n, ino: 7n, mtimeNs: start - mtimeAgo, ctimeNs: start - ctimeAgo };
  return { ...stat, ...change } as fs.BigIntStats;
}

const open = (folder: string, tracked = 'models/a') => StatCache.open(folder, tracked, start);

describe('StatCache', () => {
  it('knows a file that is as it was, now and in the next run', () => {
    const folder = tempFolder();
    const cache = open(folder);
    cache.rememberRead('f', statOf(1_000n * ms), digest);
    expect(cache.find('f', statOf(1_000n * ms))).toBe(digest);
    expect(cache.find('g', statOf(1_000n * ms))).toBeUndefined();
    cache.save('models/a');
    expect(open(folder).find('f', statOf(1_000n * ms))).toBe(digest);
    expect(open(folder, 'models/b').find('f', statOf(1_000n * ms))).toBeUndefined();
  });

  it.each([
    ['size', { size: 6n }],
    ['inode', { ino: 8n }],
    ['mtime', { mtimeNs: start - 1_000n * ms + 1n }],
    ['ctime', { ctimeNs: start - 1_000n * ms + 1n }],
  ])('does not know a file whose %s changed', (_, change) => {
    const cache = open(tempFolder());
    cache.rememberRead('f', statOf(1_000n * ms), digest);
    expect(cache.find('f', statOf(1_000n * ms, undefined, change))).toBeUndefined();
  });

  it.each<[string, bigint, bigint, boolean]>([
    ['long before', 1_000n * ms, 1_000n * ms, true],
    ['a tick and more before', 20n * ms + 1n, 20n * ms + 1n, true],
    ['exactly a tick before', 20n * ms, 20n * ms, false],
    ['just before', 1n, 1n, false],
    ['at the start', 0n, 0n, false],
    ['after the start', -5n * ms, -5n * ms, false],
    ['in content long before, in status just before', 1_000n * ms, 1n, false],
    ['in the future, by its content time', -(10n ** 12n), 1_000n * ms, false],
  ])('remembers a file changed %s: %s %s %s', (_, mtimeAgo, ctimeAgo, remembered) => {
    const cache = open(tempFolder());
    cache.rememberRead('f', statOf(mtimeAgo, ctimeAgo), digest);
    expect(cache.find('f', statOf(mtimeAgo, ctimeAgo)) !== undefined).toBe(remembered);
  });

  it('waits longer where times have only whole seconds', () => {
    const cache = open(tempFolder());
    const second = 1_000_000_000n;
    const whole = (ago: bigint): fs.BigIntStats => {
      const at = ((start - ago) / second) * second;
      return statOf(0n, 0n, { mtimeNs: at, ctimeNs: at });
    };
    cache.rememberRead('young', whole(second), digest);
    cache.rememberRead('old', whole(3n * second), digest);
    expect(cache.find('young', whole(second))).toBeUndefined();
    expect(cache.find('old', whole(3n * second))).toBe(digest);
  });

  it('forgets a file that may not have reached the disk when the machine starts anew', () => {
    const folder = tempFolder();
    const minute = 60_000n * ms;
    const young = statOf(9n * minute);
    const old = statOf(11n * minute);
    const cache = open(folder);
    cache.rememberWritten('young', young, digest);
    cache.rememberWritten('old', old, digest);
    cache.save('models/a');
    const [name] = fs.readdirSync(folder) as [string];
    const file = path.join(folder, name);
    expect(open(folder).find('young', young)).toBe(digest);
    expect(fs.readFileSync(file, 'utf8')).toContain(bootToken());
    const text = fs.readFileSync(file, 'utf8').slice(9).replace(bootToken(), 'another start');
    fs.writeFileSync(file, `${crc32(text).toString(16).padStart(8, '0')}\n${text}`);
    expect(open(folder).find('young', young)).toBeUndefined();
    expect(open(folder).find('old', old)).toBe(digest);
  });

  it('takes a file that it saw again later for one that has reached the disk', () => {
    const folder = tempFolder();
    const minute = 60_000n * ms;
    const cache = open(folder);
    cache.rememberWritten('f', statOf(1n * minute), digest);
    cache.save('models/a');
    const later = StatCache.open(folder, 'models/a', start + 10n * minute);
    expect(later.find('f', statOf(1n * minute))).toBe(digest);
    later.save('models/a');
    const [name] = fs.readdirSync(folder) as [string];
    expect(fs.readFileSync(path.join(folder, name), 'utf8')).not.toContain(bootToken());
    expect(open(folder).find('f', statOf(1n * minute))).toBe(digest);
  });

  it('forgets a file that was read again while it was young', () => {
    const folder = tempFolder();
    const cache = open(folder);
    cache.rememberRead('f', statOf(1_000n * ms), digest);
    cache.rememberRead('f', statOf(1n), sha256('y'));
    expect(cache.find('f', statOf(1n))).toBeUndefined();
    expect(cache.find('f', statOf(1_000n * ms))).toBeUndefined();
  });

  it('remembers files it has stamped, however young', () => {
    const folder = tempFolder();
    const file = path.join(folder, 'f');
    const fd = fs.openSync(file, 'w');
    fs.writeSync(fd, 'one');
    stampNow(fd, Date.now());
    fs.closeSync(fd);
    const stat = fs.lstatSync(file, { bigint: true });
    const cache = StatCache.open(folder, 'f', fileClockNs(folder, 0));
    cache.rememberWritten('f', stat, digest);
    expect(cache.find('f', stat)).toBe(digest);
    // A change of the same length in the same tick of the clock shows, because the stamp is none of it.
    fs.writeFileSync(file, 'two');
    expect(cache.find('f', fs.lstatSync(file, { bigint: true }))).toBeUndefined();
  });

  it('stamps no two moments alike, and close to the present', () => {
    const file = path.join(tempFolder(), 'f');
    const fd = fs.openSync(file, 'w');
    // Some thousands, as the microsecond is left to chance and each of them must do.
    const stamps = Array.from({ length: 5_000 }, () => {
      stampNow(fd, Date.now());
      return fs.fstatSync(fd, { bigint: true }).mtimeNs;
    });
    fs.closeSync(fd);
    expect(new Set(stamps).size).toBeGreaterThan(1_000);
    for (const stamp of stamps) {
      expect(stamp % ms).not.toBe(0n);
      expect(Math.abs(Number(stamp / ms) - Date.now())).toBeLessThan(5_000);
    }
  });

  it('forgets what is no longer there', () => {
    const cache = open(tempFolder());
    for (const name of ['a', 'b']) cache.rememberRead(name, statOf(1_000n * ms), digest);
    cache.keepOnly(new Set(['b']));
    expect(cache.find('a', statOf(1_000n * ms))).toBeUndefined();
    expect(cache.find('b', statOf(1_000n * ms))).toBe(digest);
  });

  it.each([
    ['is cut short', (text: string) => text.slice(0, -5)],
    ['is no JSON', () => 'x'],
    ['is null', () => 'null'],
    ['has another version', (text: string) => text.replace('"version":3', '"version":2')],
    ['is of another path', (text: string) => text.replace('models/a', 'models/z')],
    ['has rows of another form', (text: string) => text.replace('"rows":[[', '"rows":[7,[')],
    ['has a bad number', (text: string) => text.replace('"5 ', '"five ')],
    ['has a bad digest', (text: string) => text.replaceAll(digest, digest.slice(1))],
  ])('is empty when its file %s', (_, damage) => {
    const folder = tempFolder();
    const cache = open(folder);
    cache.rememberRead('f', statOf(1_000n * ms), digest);
    cache.save('models/a');
    const [name] = fs.readdirSync(folder) as [string];
    const file = path.join(folder, name);
    const text = damage(fs.readFileSync(file, 'utf8').slice(9));
    fs.writeFileSync(file, `${crc32(text).toString(16).padStart(8, '0')}\n${text}`);
    const again = open(folder);
    expect(again.find('f', statOf(1_000n * ms))).toBeUndefined();
    again.rememberRead('f', statOf(1_000n * ms), digest);
    again.save('models/a');
    expect(open(folder).find('f', statOf(1_000n * ms))).toBe(digest);
  });

  it('is empty when one bit of its file has turned', () => {
    const folder = tempFolder();
    const cache = open(folder);
    cache.rememberRead('f', statOf(1_000n * ms), digest);
    cache.save('models/a');
    const file = path.join(folder, fs.readdirSync(folder)[0] as string);
    const bytes = fs.readFileSync(file);
    for (let at = 0; at < bytes.length; at++) {
      const turned = Buffer.from(bytes);
      turned[at] = (turned[at] as number) ^ (1 << (at % 8));
      fs.writeFileSync(file, turned);
      expect(open(folder).find('f', statOf(1_000n * ms)), `byte ${at}`).toBeUndefined();
    }
    fs.writeFileSync(file, bytes);
    expect(open(folder).find('f', statOf(1_000n * ms))).toBe(digest);
  });

  it('is not written when nothing changed, and never fails', () => {
    const folder = tempFolder();
    open(folder).save('models/a');
    expect(fs.readdirSync(folder)).toEqual([]);
    fs.writeFileSync(path.join(folder, 'file'), '');
    const cache = open(path.join(folder, 'file/below'));
    cache.rememberRead('f', statOf(1_000n * ms), digest);
    expect(() => cache.save('models/a')).not.toThrow();
  });
});

describe('fileClockNs', () => {
  it('is the time that new files get, and leaves none', () => {
    const folder = tempFolder();
    const before = fileClockNs(folder, 0);
    fs.writeFileSync(path.join(folder, 'f'), '');
    expect(fs.statSync(path.join(folder, 'f'), { bigint: true }).mtimeNs >= before).toBe(true);
    expect(Math.abs(Number(before / ms) - Date.now())).toBeLessThan(5_000);
    expect(fs.readdirSync(folder)).toEqual(['f']);
    expect(fileClockNs(path.join(folder, 'f'), 7)).toBe(7n * ms);
  });

  describe('of a whole version', () => {
    const old = statOf(1_000n * ms);
    const file = (name: string, stat = old) => ({ kind: 'file', path: name, stat }) as const;
    const link = (name: string, to = 'a') => ({ kind: 'link', path: name, link: to }) as const;

    function remembered(change: (cache: StatCache) => void = () => {}): StatCache {
      const folder = tempFolder();
      const cache = open(folder);
      // In another order than theirs: files are read side by side.
      for (const name of ['b', 'a/x', 'c']) cache.rememberRead(name, old, digest);
      cache.rememberLink('l', 'a');
      cache.rememberWhole('tree 1', 4);
      cache.save('models/a');
      const again = open(folder);
      change(again);
      again.save('models/a');
      return open(folder);
    }
    const all = [file('a/x'), file('b'), file('c'), link('l')];

    it('tells that all of it is there, in the next run', () => {
      expect(remembered().holdsWhole('tree 1', all)).toBe(true);
      expect(remembered().holdsWhole('tree 2', all)).toBe(false);
    });

    it.each([
      ['one is missing', all.slice(1)],
      ['one is more', [...all, file('m')]],
      ['one has another name', [file('a/y'), ...all.slice(1)]],
      ['one has changed', [file('a/x', statOf(999n * ms)), ...all.slice(1)]],
      ['a link leads elsewhere', [...all.slice(0, 3), link('l', 'b')]],
      ['a file is a link', [link('a/x'), ...all.slice(1)]],
      ['a link is a file', [...all.slice(0, 3), file('l')]],
      ['a directory stands for a file', [{ kind: 'directory', path: 'a/x' }, ...all.slice(1)]],
    ] as const)('does not where %s', (_, found) => {
      expect(remembered().holdsWhole('tree 1', found)).toBe(false);
    });

    it.each<[string, (cache: StatCache) => void]>([
      ['a file got another digest', (cache) => cache.rememberWritten('b', old, sha256('y'))],
      ['a file was added', (cache) => cache.rememberRead('d', old, digest)],
      ['a file was left out', (cache) => cache.keepOnly(new Set(['a/x', 'b', 'l']))],
      [
        'a file was read too shortly after a change',
        (cache) => cache.rememberRead('b', statOf(0n), digest),
      ],
      ['a link was added', (cache) => cache.rememberLink('k', 'a')],
    ])('is forgotten when %s', (_, change) => {
      const cache = remembered(change);
      expect(cache.holdsWhole('tree 1', all)).toBe(false);
      expect(cache.holdsWhole('tree 1', [...all.slice(0, 2), link('l')])).toBe(false);
    });

    it('is not remembered where a file is not: it could go, and what is left would look whole', () => {
      const folder = tempFolder();
      const cache = open(folder);
      cache.rememberRead('a', old, digest);
      cache.rememberRead('b', statOf(0n), digest);
      cache.rememberWhole('tree 1', 2);
      cache.save('models/a');
      expect(open(folder).holdsWhole('tree 1', [file('a')])).toBe(false);
      const none = open(tempFolder());
      none.rememberRead('b', statOf(0n), digest);
      none.rememberWhole('tree 1', 1);
      expect(none.holdsWhole('tree 1', [])).toBe(false);
    });

    it('is not told in the run that makes it, nor after another start of the machine', () => {
      const folder = tempFolder();
      const cache = open(folder);
      const young = statOf(60_000n * ms);
      cache.rememberRead('f', young, digest);
      cache.rememberWhole('tree 1', 1);
      expect(cache.holdsWhole('tree 1', [file('f', young)])).toBe(false);
      cache.save('models/a');
      expect(open(folder).holdsWhole('tree 1', [file('f', young)])).toBe(true);
      const later = StatCache.open(folder, 'models/a', start + 3_600_000n * ms);
      expect(later.holdsWhole('tree 1', [file('f', young)])).toBe(true);
      later.save('models/a');
      // What has settled is known after a start of the machine as well.
      const [name] = fs.readdirSync(folder);
      const text = fs.readFileSync(path.join(folder, name as string), 'utf8');
      expect(text).not.toContain(bootToken());
    });
  });
});
