import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { environmentName, keyRule, readConfig } from '../../../src/worktree/config.ts';
import { writeConfigKey } from '../../../src/worktree/config-file.ts';
import { configKeys } from '../../../src/worktree/config-keys.ts';
import { tempFolder } from '../../support/temp.ts';

function folderWith(config: string, local?: string): string {
  const folder = tempFolder();
  fs.writeFileSync(path.join(folder, 'config.toml'), config);
  if (local !== undefined) fs.writeFileSync(path.join(folder, 'config.local.toml'), local);
  return folder;
}

const coded = (code: string) => expect.objectContaining({ code }) as Error;

describe('readConfig', () => {
  const config =
    '[core]\nformat = 1\nremote = "a"\n[remote.a]\nurl = "/a"\n[remote.b-2]\nurl = "/b"\n';

  it('is empty without files', () => {
    expect(readConfig(tempFolder(), {}).entries()).toEqual([]);
  });

  it('lets the machine override the repository, and the environment both', () => {
    const folder = folderWith(config, '[core]\nremote = "b-2"\n[transfer]\njobs = 2\n');
    const merged = readConfig(folder, { MSTORE_TRANSFER_JOBS: '9', MSTORE_CORE_FORMAT: '' });
    expect(merged.get('core.remote')).toEqual({
      key: 'core.remote',
      value: 'b-2',
      source: 'local',
    });
    expect(merged.get('transfer.jobs')).toMatchObject({ value: 9, source: 'environment' });
    expect(merged.get('core.format')).toMatchObject({ value: 1, source: 'config' });
    expect(merged.remotes()).toEqual([
      { name: 'a', url: '/a' },
      { name: 'b-2', url: '/b' },
    ]);
  });

  it('takes what belongs to a remote from files and the environment', () => {
    const folder = folderWith('[remote.b-2]\nurl = "s3://b/x"\npath_style = false\n');
    const merged = readConfig(folder, {
      MSTORE_REMOTE_B_2_ENDPOINT: 'https://host:9000',
      MSTORE_REMOTE_B_2_ANONYMOUS: 'true',
      MSTORE_REMOTE_OTHER_REGION: 'x',
    });
    expect(merged.string('remote.b-2.endpoint')).toBe('https://host:9000');
    expect(merged.boolean('remote.b-2.anonymous')).toBe(true);
    expect(merged.boolean('remote.b-2.path_style')).toBe(false);
    expect(merged.boolean('remote.b-2.requester_pays')).toBeUndefined();
    expect(merged.entries().map(({ key }) => key)).not.toContain('remote.other.region');
  });

  it.each([
    ['endpoint', 'host:9000'],
    ['endpoint', 'https://KEY:secret@host'],
    ['endpoint', 'https://host/path'],
    ['path_style', 'yes'],
    ['anonymous', '1'],
    ['sse', 'aws'],
    ['storage_class', 'standard ia'],
    ['region', 'a b'],
  ])('refuses %s = %j of a remote', (key, value) => {
    const folder = folderWith('[remote.a]\nurl = "s3://b/x"\n');
    const env = { [`MSTORE_REMOTE_A_${key.toUpperCase()}`]: value };
    expect(() => readConfig(folder, env)).toThrow(coded('config-invalid'));
    expect(() => readConfig(folder, env)).not.toThrow(/secret/);
  });

  it.each(['', 'a,', 'a, b', 'a,./dir', 'a;b'])('refuses the list of remotes %j', (value) => {
    for (const key of ['push.remotes', 'fetch.remotes']) {
      const [section, name] = key.split('.');
      const folder = folderWith(`[${section}]\n${name} = ${JSON.stringify(value)}\n`);
      expect(() => readConfig(folder, {})).toThrow(coded('config-invalid'));
    }
  });

  it.each(['', ' Ann', 'Ann\nBob', 'a'.repeat(257)])('refuses the author %j', (value) => {
    const folder = folderWith(`[core]\nauthor = ${JSON.stringify(value)}\n`);
    expect(() => readConfig(folder, {})).toThrow(coded('config-invalid'));
  });

  it('takes every key that may be set from the environment', () => {
    const values: Record<string, string> = {
      'core.remote': 'a',
      'identity.file': '~/.config/identity.txt',
      'core.author': 'Ann <ann@example.com>',
      'core.model': 'bert',
      'core.git': 'binary',
      'store.path': '/s',
      'store.compression': 'auto',
      'checkout.link': 'reflink,copy',
      'transfer.jobs': '7',
      'transfer.rate_limit': '10MiB',
      'registry.lifecycle': 'staging,production',
      'registry.rollback_window': '5',
      'push.remotes': 'a,b-2',
      'fetch.remotes': 'b-2',
      'validate.policy': 'deny',
      'publish.card': 'docs/card.md',
      'publish.experiment': '{model}',
      'audit.required': 'true',
    };
    const settable = Object.entries(configKeys).filter(([, rule]) => rule.readOnly !== true);
    expect(Object.keys(values).sort()).toEqual(
      settable
        .map(([key]) => key)
        .filter((key) => !key.includes('NAME'))
        .sort(),
    );
    const env = Object.fromEntries(
      Object.entries(values).map(([key, value]) => [environmentName(key), value]),
    );
    const merged = readConfig(tempFolder(), env);
    for (const [key, value] of Object.entries(values)) {
      expect(merged.string(key)).toBe(value);
      expect(merged.get(key)?.source).toBe('environment');
    }
  });

  it('takes the URL of a remote that is named in a file from the environment', () => {
    const merged = readConfig(folderWith(config), { MSTORE_REMOTE_B_2_URL: '/elsewhere' });
    expect(merged.string('remote.b-2.url')).toBe('/elsewhere');
    expect(merged.string('remote.a.url')).toBe('/a');
  });

  it('lets the environment neither raise the format nor change the identity', () => {
    const env = { MSTORE_CORE_FORMAT: '2', MSTORE_CORE_REPOSITORY: 'x' };
    expect(readConfig(tempFolder(), env).entries()).toEqual([]);
  });

  it.each([
    ['a file that is no TOML', '[core\n'],
    ['a text where a number must be', '[transfer]\njobs = "4"\n'],
    ['a number where a text must be', '[core]\nremote = 4\n'],
    ['jobs without end', '[transfer]\njobs = 257\n'],
    ['no jobs', '[transfer]\njobs = 0\n'],
    ['a fraction', '[transfer]\njobs = 1.5\n'],
    ['an unknown way to link', '[checkout]\nlink = "copy,magic"\n'],
    ['an unknown way to compress', '[store]\ncompression = "best"\n'],
    ['an unknown way to read Git', '[core]\ngit = "fast"\n'],
  ])('refuses %s', (_, text) => {
    expect(() => readConfig(folderWith(text), {})).toThrow(coded('config-invalid'));
    expect(() => readConfig(folderWith('', text), {})).toThrow(coded('config-invalid'));
  });

  it('refuses bad values of the environment by the name of the variable', () => {
    expect(() => readConfig(tempFolder(), { MSTORE_TRANSFER_JOBS: 'many' })).toThrow(
      /transfer\.jobs .*many.*MSTORE_TRANSFER_JOBS/,
    );
  });

  it('leaves alone what it does not know', () => {
    const text =
      '[later]\nkey = [1, 2]\nwhen = 2020-01-01\n[core]\nfuture = true\n[remote."x.y"]\nurl = "/z"\n';
    expect(readConfig(folderWith(text), {}).entries()).toEqual([]);
  });

  it('hands policies on as they are, from the committed file alone', () => {
    const policy = '[policy.production]\nweights = { a = 1 }\n[policy."m@production".limits]\n';
    const folder = folderWith(`${policy}[transfer]\njobs = 2\n`);
    const merged = readConfig(folder, {});
    expect(merged.policies).toEqual({
      value: { production: { weights: { a: 1 } }, 'm@production': { limits: {} } },
      file: path.join(folder, 'config.toml'),
    });
    expect(merged.entries().map(({ key }) => key)).toEqual(['transfer.jobs']);
    expect(readConfig(tempFolder(), {}).policies.value).toBeUndefined();
    expect(() => readConfig(folderWith('', policy), {})).toThrow(coded('config-invalid'));
    expect(() => readConfig(folderWith('', policy), {})).toThrow(/local\.toml holds policies/);
  });

  it('refuses a workspace of a newer format', () => {
    expect(() => readConfig(folderWith('[core]\nformat = 2\n'), {})).toThrow(coded('newer-format'));
  });
});

describe('keyRule', () => {
  it('knows keys and the keys of remotes, and nothing by accident', () => {
    expect(keyRule('core.git')?.type).toBe('string');
    expect(keyRule('remote.my-1.url')?.type).toBe('string');
    for (const key of ['core', 'remote.url', 'remote..url', 'remote.a.b.url', 'remote.a.key']) {
      expect(keyRule(key), key).toBeUndefined();
    }
    for (const key of [
      'toString',
      '__proto__',
      'constructor',
      'remote.NAME!.url',
      'remote.-a.url',
    ]) {
      expect(keyRule(key), key).toBeUndefined();
    }
  });
});

describe('writeConfigKey', () => {
  it('sets, changes and removes a key, and keeps the rest', async () => {
    const folder = folderWith('# mine\n[core]\nformat = 1 # first\n');
    const file = path.join(folder, 'config.toml');
    const set = (value: string | undefined) => writeConfigKey(file, 'remote.o.url', value, folder);
    await set('../remote');
    expect(readConfig(folder, {}).string('remote.o.url')).toBe('../remote');
    await set('/b');
    expect(fs.readFileSync(file, 'utf8')).toBe(
      '# mine\n[core]\nformat = 1 # first\n\n[remote.o]\nurl = "/b"\n',
    );
    await set(undefined);
    expect(fs.readFileSync(file, 'utf8')).toBe('# mine\n[core]\nformat = 1 # first\n');
    expect(fs.readdirSync(folder)).toEqual(['config.toml']);
  });

  it('leaves policies and all other tables that it does not know as they are', async () => {
    const policies = [
      '# the gate',
      '[policy.production]',
      'weights = { "eval.f1" = 0.6, bleu = 0.4 } # sums to 1',
      'lower_is_better = [',
      '  "latency_ms",',
      ']',
      '[policy.production.limits]',
      'latency_ms = { max = 50 }',
      '[policy."caption_model@production"]',
      'regress = { bleu = 0.01 }',
      '',
    ].join('\n');
    const folder = folderWith(`[core]\nformat = 1\n\n${policies}`);
    const file = path.join(folder, 'config.toml');
    const text = () => fs.readFileSync(file, 'utf8');
    await writeConfigKey(file, 'core.remote', 'o', folder);
    expect(text()).toBe(`[core]\nformat = 1\nremote = "o"\n\n${policies}`);
    await writeConfigKey(file, 'transfer.jobs', 3, folder);
    expect(text()).toContain(policies);
    await writeConfigKey(file, 'core.remote', undefined, folder);
    await writeConfigKey(file, 'transfer.jobs', undefined, folder);
    expect(text()).toBe(`[core]\nformat = 1\n\n${policies}`);
  });

  it('makes no file to remove from', async () => {
    const folder = tempFolder();
    await writeConfigKey(path.join(folder, 'c.toml'), 'core.git', undefined, folder);
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it('loses no key when many are set at once', async () => {
    const folder = tempFolder();
    const file = path.join(folder, 'config.toml');
    const names = Array.from({ length: 12 }, (_, i) => `r${i}`);
    await Promise.all(
      names.map((name) => writeConfigKey(file, `remote.${name}.url`, `/${name}`, folder)),
    );
    expect(
      readConfig(folder, {})
        .remotes()
        .map(({ name }) => name),
    ).toEqual([...names].sort());
  });

  it('leaves a file that is no TOML as it is', async () => {
    const folder = folderWith('[core\n');
    const file = path.join(folder, 'config.toml');
    await expect(writeConfigKey(file, 'core.git', 'auto', folder)).rejects.toThrow(
      coded('config-invalid'),
    );
    expect(fs.readFileSync(file, 'utf8')).toBe('[core\n');
  });
});
