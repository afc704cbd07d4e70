import { describe, expect, it } from 'vitest';
import { DvcConfig } from '../../../src/dvc/config.ts';
import { parseIni } from '../../../src/dvc/ini.ts';

function configOf(...texts: readonly string[]): DvcConfig {
  const files = texts.map((text, i) => ({ file: `/level${i}/.dvc/config`, text, isOwn: i !== 1 }));
  return new DvcConfig(files, '/place/me');
}

describe('the configuration of DVC', () => {
  it('is put together of its files, names in any case, with quotes and comments', () => {
    const config = configOf(
      '# of the user\n[core]\n  remote = other\n[\'remote "Store"\']\n  profile = "me, myself"  # mine\n',
      '[CORE]\nRemote = STORE # the one\n[remote "store"]\r\nURL = s3://bucket/some folder\r\nprofile = theirs\n',
      "['remote \"store\"']\n  profile = 'mine'\n  secret_access_key = 'a#b'\n",
    );
    expect(config.defaultRemote).toBe('store');
    const { url, options, isOwn } = config.remote('sToRe');
    expect(url).toBe('s3://bucket/some folder');
    expect(Object.fromEntries(options)).toEqual({
      url,
      profile: 'mine',
      secret_access_key: 'a#b',
    });
    expect(isOwn).toBe(false);
  });

  it('starts paths from the folder of their file, and knows the home folder', () => {
    const config = configOf(
      '[cache]\ndir = ../../shared',
      '[\'remote "here"\']\nurl = ../../store\n[\'remote "home"\']\nurl = ~/store\ncredentialpath = key.json\n[\'remote "far"\']\nurl = gs://b/x',
    );
    expect(config.cacheFolder).toBe('/shared');
    expect(config.remote('here').url).toBe('/store');
    expect(config.remote('home').url).toBe('/place/me/store');
    expect(config.remote('home').options.get('credentialpath')).toBe('/level1/.dvc/key.json');
    expect(config.remote('far').url).toBe('gs://b/x');
  });

  it('has remotes below others, with what is said of those', () => {
    const config = configOf(
      '[\'remote "base"\']\nurl = s3://bucket/\nprofile = p\nregion = r',
      '[\'remote "sub"\']\nurl = remote://base/models\nregion = other',
    );
    const { url, options, isOwn } = config.remote('sub');
    expect(url).toBe('s3://bucket/models');
    expect(options.get('profile')).toBe('p');
    expect(options.get('region')).toBe('other');
    expect(isOwn).toBe(false);
    expect(config.remote('base').isOwn).toBe(true);
  });

  it.each([
    ['a remote without a place', '[\'remote "x"\']\nprofile = p', 'config-invalid'],
    ['no such remote', '', 'unknown-remote'],
    ['a remote below itself', '[\'remote "x"\']\nurl = remote://x/y', 'config-invalid'],
    ['a remote below none', '[\'remote "x"\']\nurl = remote://y/z', 'unknown-remote'],
  ])('says that there is %s', (_, text, code) => {
    expect(() => configOf(text).remote('x')).toThrow(expect.objectContaining({ code }));
  });

  it.each([
    'key = 1',
    '[open\nkey = 1',
    '[a]\nkey',
    '[a]\n= 1',
    '[a]\nkey = one, two',
    '[a]\nkey = "open',
    '[a]\nkey = "a" b',
    '[a]\nkey = """a"""',
  ])('refuses %j, and shows no value', (text) => {
    const parse = () => parseIni(text, 'the file', { values: 'quoted' });
    expect(parse).toThrow(expect.objectContaining({ code: 'config-invalid' }));
    expect(parse).toThrow(/the file.*line [12]/);
    expect(parse).not.toThrow(/one, two/);
  });

  it('reads the files of Amazon line by line', () => {
    const text =
      '; c\n[default]\naws_access_key_id = A\naws_secret_access_key=a#b,c"d"\n[profile x]\ns3 =\n  addressing_style = path\nregion = r\n';
    const sections = parseIni(text, 'credentials', { values: 'plain' });
    expect(Object.fromEntries(sections.get('default') ?? [])).toEqual({
      aws_access_key_id: 'A',
      aws_secret_access_key: 'a#b,c"d"',
    });
    expect(Object.fromEntries(sections.get('profile x') ?? [])).toEqual({ s3: '', region: 'r' });
  });
});
