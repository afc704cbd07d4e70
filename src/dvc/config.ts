import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { badConfig, parseIni } from './ini.ts';

/** A remote of DVC. */
export interface DvcRemote {
  readonly name: string;
  /** An absolute path, or a URL. */
  readonly url: string;
  /** All that the configuration says of it, by the names of DVC. */
  readonly options: ReadonlyMap<string, string>;
  /** Whether only files that nobody else can change say where it is: not one that comes with a repository. */
  readonly isOwn: boolean;
}

/** A file of configuration. */
export interface DvcConfigFile {
  /** Absolute. */
  readonly file: string;
  readonly text: string;
  /** Whether whoever runs the command wrote it, and not whoever made the repository. */
  readonly isOwn: boolean;
}

interface Setting {
  readonly value: string;
  readonly isOwn: boolean;
}

/** Settings that are paths, from the folder of their file. */
const pathKeys: ReadonlySet<string> = new Set(['url', 'credentialpath', 'configpath']);

/** The configuration of a DVC repository, put together of its files. */
export class DvcConfig {
  /** By section, then by key. */
  readonly #settings = new Map<string, Map<string, Setting>>();
  readonly #where: string;

  /**
   * @param files the later ones win
   * @param home absolute folder that `~` stands for
   * @throws MstoreError `config-invalid`
   */
  constructor(files: readonly DvcConfigFile[], home: string) {
    this.#where = files.at(-1)?.file ?? '.dvc/config';
    for (const { file, text, isOwn } of files) {
      for (const [section, values] of parseIni(text, file, { values: 'quoted' })) {
        const settings = this.#settings.get(section) ?? new Map<string, Setting>();
        this.#settings.set(section, settings);
        for (const [key, value] of values) {
          const isPath = pathKeys.has(key) || (section === 'cache' && key === 'dir');
          const full = isPath ? resolved(value, path.dirname(file), home) : value;
          settings.set(key, { value: full, isOwn });
        }
      }
    }
  }

  /**
   * Absolute folder of the cache, where one is set.
   * @throws MstoreError `config-invalid`
   */
  get cacheFolder(): string | undefined {
    const folder = this.#settings.get('cache')?.get('dir')?.value;
    if (folder === undefined || path.isAbsolute(folder)) return folder;
    throw badConfig(this.#where, 'its cache is no folder of this machine');
  }

  /** Name of the remote that is asked where an output names none. */
  get defaultRemote(): string | undefined {
    return this.#settings.get('core')?.get('remote')?.value.toLowerCase();
  }

  /**
   * Finds a remote by its name.
   * @throws MstoreError `unknown-remote`, `config-invalid`
   */
  remote(name: string): DvcRemote {
    const settings = this.#remoteSection(name);
    const url = settings.get('url');
    if (url === undefined) throw badConfig(this.#where, `the remote ${printable(name)} has no url`);
    const options = new Map([...settings].map(([key, { value }]) => [key, value]));
    const other = /^remote:\/\/([^/]+)(.*)$/s.exec(url.value);
    if (other === null) return { name, url: url.value, options, isOwn: isOwn(settings) };
    const [, base = '', rest = ''] = other;
    const under = this.#remoteSection(base);
    const below = under.get('url');
    if (below === undefined || below.value.startsWith('remote://')) {
      throw badConfig(this.#where, `the remote ${printable(name)} is below one without a place`);
    }
    const inherited = [...under].map(([key, { value }]) => [key, value] as const);
    return {
      name,
      url: below.value.replace(/\/+$/, '') + rest,
      options: new Map([...inherited, ...options]),
      isOwn: isOwn(settings) && isOwn(under),
    };
  }

  #remoteSection(name: string): ReadonlyMap<string, Setting> {
    const found = this.#settings.get(`remote "${name.toLowerCase()}"`);
    if (found !== undefined) return found;
    throw new MstoreError('unknown-remote', `DVC has no remote ${printable(name)} here`, {
      hint: `Look at "dvc remote list", and at ${printable(this.#where)}`,
      details: { name },
    });
  }
}

/** Tells whether what says where requests go is of whoever runs the command. */
function isOwn(settings: ReadonlyMap<string, Setting>): boolean {
  return ['url', 'endpointurl'].every((key) => settings.get(key)?.isOwn ?? true);
}

function resolved(value: string, folder: string, home: string): string {
  if (/^\w+:\/\//.test(value)) return value;
  return path.resolve(folder, value.replace(/^~(?=\/|$)/, home));
}
