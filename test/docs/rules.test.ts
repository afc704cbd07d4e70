import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { rules } from '../../src/validate/rules.ts';

const top = path.resolve(import.meta.dirname, '../..');
const page = fs.readFileSync(path.join(top, 'docs/guide/validate.md'), 'utf8');

describe('the rules of validation', () => {
  it('are listed in the guide with what breaking them means', () => {
    const row = /^\| `([a-z0-9-]+)` \| (notice|warning|invalid|dangerous) \| (.*) \|$/gm;
    const listed = [...page.matchAll(row)].map(([, rule, severity, says]) => [
      rule,
      severity,
      says,
    ]);
    const known = Object.entries(rules).map(([rule, [severity, says]]) => [rule, severity, says]);
    expect(listed.sort()).toEqual(known.sort());
  });

  it('are all looked at somewhere, and tested', () => {
    const textsOf = (folder: string): string =>
      fs
        .readdirSync(path.join(top, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts') && name !== 'rules.ts')
        .map((name) => fs.readFileSync(path.join(top, folder, name), 'utf8'))
        .join('\n');
    const [source, tests] = [textsOf('src/validate'), textsOf('test/unit/validate')];
    const unused = Object.keys(rules).filter((rule) => !source.includes(`'${rule}'`));
    const untested = Object.keys(rules).filter((rule) => !tests.includes(`'${rule}'`));
    expect({ unused, untested }).toEqual({ unused: [], untested: [] });
  });
});
