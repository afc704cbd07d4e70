import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { editToml } from '../../../src/worktree/toml-edit.ts';

const url = ['remote', 'origin', 'url'];

describe('editToml', () => {
  it('makes a file, a section and a key', () => {
    const text = editToml('', url, '/data');
    expect(text).toBe('[remote.origin]\nurl = "/data"\n');
    expect(editToml(text, ['core', 'remote'], 'origin')).toBe(
      '[remote.origin]\nurl = "/data"\n\n[core]\nremote = "origin"\n',
    );
    expect(editToml(text, ['remote', 'origin', 'depth'], 3)).toBe(
      '[remote.origin]\nurl = "/data"\ndepth = 3\n',
    );
  });

  it.each([
    ['url = "a" # why', 'url = "b" # why'],
    ['url = "a"   # it\'s "quoted"', 'url = "b"   # it\'s "quoted"'],
    ['url = "a # not a comment"', 'url = "b"'],
    ["url = 'a # no' # yes", 'url = "b" # yes'],
    ['url = "a \\" # no" # yes', 'url = "b" # yes'],
    ['url="a"', 'url = "b"'],
    ['"url" = "a"#x', 'url = "b"#x'],
    ["'url' = 'a'", 'url = "b"'],
  ])('changes %s and keeps its comment', (before, after) => {
    const around = (line: string) =>
      `# head\n\n[core] # c\nformat = 1\n\n[remote.origin]\n# about\n${line}\n  other = 1\n\n[z]\na = [1,\n 2]\n`;
    expect(editToml(around(before), url, 'b')).toBe(around(after));
  });

  it('removes a key, and a section that is empty by that', () => {
    const text = '[core]\nremote = "x"\n\n[remote.origin]\nurl = "a"\n';
    expect(editToml(text, url, undefined)).toBe('[core]\nremote = "x"\n');
    expect(editToml('[remote.origin]\nurl = "a"\nb = 1\n', url, undefined)).toBe(
      '[remote.origin]\nb = 1\n',
    );
    expect(editToml('[remote.origin]\nurl = "a"\n# note\n', url, undefined)).toBe(
      '[remote.origin]\n# note\n',
    );
    expect(editToml(text, ['core', 'none'], undefined)).toBe(text);
    expect(editToml('[remote.origin]\nurl = "a"\n', url, undefined)).toBe('');
  });

  it('leaves comments with the table that they stand above', () => {
    const next = '# about z\n# more\n[z]\na = 1\n';
    for (const between of ['', '\n', '# old\n\n']) {
      expect(editToml(`[core]\nformat = 1\n${between}${next}`, ['core', 'git'], 'auto')).toBe(
        between.startsWith('#')
          ? `[core]\nformat = 1\n${between.trimEnd()}\ngit = "auto"\n\n${next}`
          : `[core]\nformat = 1\ngit = "auto"\n${between}${next}`,
      );
    }
    expect(editToml('[core]\n# end\n', ['core', 'git'], 'auto')).toBe(
      '[core]\n# end\ngit = "auto"\n',
    );
  });

  it('keeps the line ends of Windows', () => {
    const text = '# c\r\n[remote.origin]\r\nurl = "a" # x\r\n\r\n[core]\r\nformat = 1\r\n';
    expect(editToml(text, url, 'b')).toBe(text.replace('"a"', '"b"'));
    expect(editToml(text, ['core', 'git'], 'auto')).toBe(`${text}git = "auto"\r\n`);
    expect(editToml(text, ['store', 'path'], 'p')).toBe(`${text}\r\n[store]\r\npath = "p"\r\n`);
    expect(editToml(text, url, undefined)).toBe('# c\r\n[core]\r\nformat = 1\r\n');
  });

  it('writes strings that read as they were given', () => {
    for (const value of ['', '"', '\\', 'a\nb', '\u0001\u007f', 'é\u{1f600}', "'", '#']) {
      expect(parse(editToml('', ['a', 'b'], value))).toEqual({ a: { b: value } });
    }
    expect(() => editToml('', ['a', 'b'], '\ud83d')).toThrow(/Cannot change a.b/);
  });

  it.each([
    ['an inline table', 'remote = { origin = { url = "a" } }\n'],
    ['dotted keys', 'remote.origin.url = "a"\n'],
    ['a list over several lines', '[remote.origin]\nurl = [\n  "a",\n]\n'],
    ['a text over several lines', '[remote.origin]\nurl = """\na\n"""\n'],
    ['a list of tables', '[[remote.origin]]\nurl = "a"\n'],
    ['a text that looks like the section', 'x = """\n[remote.origin]\nurl = "a"\n"""\n'],
  ])('changes nothing else, or refuses: %s', (_, text) => {
    const before = parse(text) as Record<string, unknown>;
    let after: Record<string, unknown>;
    try {
      after = parse(editToml(text, url, 'b')) as Record<string, unknown>;
    } catch (error) {
      expect(error).toMatchObject({ code: 'config-invalid' });
      return;
    }
    expect(after).toEqual({ ...before, remote: { origin: { url: 'b' } } });
  });
});
