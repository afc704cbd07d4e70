import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';

const top = path.resolve(import.meta.dirname, '../..');

interface LockedPackage {
  readonly license?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly deprecated?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const read = (name: string): unknown => JSON.parse(fs.readFileSync(path.join(top, name), 'utf8'));
const manifest = read('package.json') as LockedPackage;
const lock = read('package-lock.json') as {
  readonly lockfileVersion: number;
  readonly packages: Readonly<Record<string, LockedPackage>>;
};
const locked = Object.entries(lock.packages).filter(([name]) => name !== '');
const atRunTime = locked.filter(([, { dev }]) => dev !== true);

/** Licences that ask for no more than that they are kept and named. */
const licences = [
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
  'Zlib',
];

/** Packages that run something when they are installed, with the reason; none of them at run time. */
const installScripts: Readonly<Record<string, string>> = {
  'node_modules/esbuild':
    'looks whether the program of this system has come with it; package.json refuses to run it',
  'node_modules/protobufjs':
    'compares the version that package.json asks for with its own; package.json refuses to run it',
};

const namesOf = (all: typeof locked): string[] => all.map(([name]) => name);

describe('the packages that mstore runs with', () => {
  it('are those of package.json and what they need, each fixed by a digest', () => {
    expect(lock.lockfileVersion).toBeGreaterThanOrEqual(3);
    expect(lock.packages['']?.dependencies).toEqual(manifest.dependencies);
    expect(lock.packages['']?.devDependencies).toEqual(manifest.devDependencies);
    const named = Object.keys(manifest.dependencies ?? {});
    expect(atRunTime.length).toBeGreaterThan(named.length);
    for (const name of named) expect(namesOf(atRunTime)).toContain(`node_modules/${name}`);
    // Tools of development for other systems are named without one, and never installed here.
    const loose = locked.filter(
      ([, { integrity, link, dev, optional }]) =>
        !(dev && optional) && (link || !/^sha512-/.test(integrity ?? '')),
    );
    expect(namesOf(loose)).toEqual([]);
  });

  it('are all reached from package.json', () => {
    const reached = new Set<string>();
    const todo: Array<readonly [from: string, name: string]> = Object.keys(
      manifest.dependencies ?? {},
    ).map((name) => ['', name]);
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      const found = placeOf(...next);
      if (found === undefined || reached.has(found)) continue;
      reached.add(found);
      const { dependencies, optionalDependencies, peerDependencies } = lock.packages[found] ?? {};
      const asked = { ...dependencies, ...optionalDependencies, ...peerDependencies };
      for (const name of Object.keys(asked)) todo.push([found, name]);
    }
    expect(namesOf(atRunTime).filter((name) => !reached.has(name))).toEqual([]);
  });

  it('run nothing when they are installed', () => {
    const running = locked.filter(([, { hasInstallScript }]) => hasInstallScript);
    expect(namesOf(running)).toEqual(Object.keys(installScripts));
    expect(running.every(([, { dev }]) => dev)).toBe(true);
    // What is installed is compared too: the lock file tells what the registry said.
    for (const name of namesOf(atRunTime)) {
      const file = path.join(top, name, 'package.json');
      // Programs for other systems are not installed here.
      if (!fs.existsSync(file)) continue;
      const { scripts = {} } = JSON.parse(fs.readFileSync(file, 'utf8')) as {
        readonly scripts?: object;
      };
      const hooks = Object.keys(scripts).filter((key) => /^(?:pre|post)?install$/.test(key));
      expect(hooks, name).toEqual([]);
      expect(fs.existsSync(path.join(top, name, 'binding.gyp')), name).toBe(false);
    }
  });

  it('come under licences that may be passed on with it', () => {
    const others = atRunTime.filter(([, { license = '' }]) => {
      // Of "(A OR B)" one is enough; of "(A AND B)" both count.
      const either = license.replace(/^\((.*)\)$/, '$1').split(' OR ');
      return !either.some((all) => all.split(' AND ').every((one) => licences.includes(one)));
    });
    expect(others.map(([name, { license }]) => `${name}: ${license}`)).toEqual([]);
  });

  it('are none that their authors have given up', () => {
    const given = atRunTime.filter(([, { deprecated }]) => deprecated !== undefined);
    expect(given.map(([name, { deprecated }]) => `${name}: ${deprecated}`)).toEqual([]);
  });
});

/** Finds where a package that one asks for is: below it, or below a folder above. */
function placeOf(from: string, name: string): string | undefined {
  for (let at = from; ; ) {
    const place = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (lock.packages[place] !== undefined) return place;
    if (at === '') return undefined;
    const cut = at.lastIndexOf('/node_modules/');
    at = cut === -1 ? '' : at.slice(0, cut);
  }
}
