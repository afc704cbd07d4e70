import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { recipientOf, unwrapKey, wrapKey } from '../../../src/encryption/age.ts';
import { makeIdentityFile, readIdentityFile } from '../../../src/encryption/identity-file.ts';
import { tempFolder } from '../../support/temp.ts';

const code = (expected: string) => expect.objectContaining({ code: expected });

describe('a file of identities', () => {
  it('is made for its owner alone, never over another, and opens what is wrapped to it', async () => {
    const file = path.join(tempFolder(), 'identity.txt');
    const recipient = await makeIdentityFile(file, new Date(0));
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    const before = fs.readFileSync(file, 'utf8');
    expect(before).toContain(`# public key: ${recipient}\n`);
    await expect(makeIdentityFile(file, new Date(0))).rejects.toEqual(code('destination-exists'));
    expect(fs.readFileSync(file, 'utf8')).toBe(before);
    const identities = await readIdentityFile(file);
    expect(await recipientOf(identities[0] ?? '')).toBe(recipient);
    const wrapped = await wrapKey(Buffer.from('secret'), { kind: 'age', key: recipient });
    expect(String(await unwrapKey(wrapped, { identities }))).toBe('secret');
    const stranger = path.join(path.dirname(file), 'stranger.txt');
    await makeIdentityFile(stranger, new Date(0));
    const others = await readIdentityFile(stranger);
    expect(await unwrapKey(wrapped, { identities: others })).toBeUndefined();
    expect((await readIdentityFile(file)).length).toBe(1);
  });

  it('is refused where it is none, and no error shows what it holds', async () => {
    const folder = tempFolder();
    const secret = 'AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEY';
    const cases: Record<string, string> = {
      empty: '# only a comment\n',
      encrypted: 'age-encryption.org/v1\n-> scrypt x 18\n',
      armored: '-----BEGIN AGE ENCRYPTED FILE-----\n',
      damaged: `# created\n${secret}\n`,
      other: 'top secret of another program\n',
      many: `${secret}\n`.repeat(40),
      large: '#'.repeat(100_000),
    };
    for (const [name, text] of Object.entries(cases)) {
      const file = path.join(folder, name);
      fs.writeFileSync(file, text);
      const error = await readIdentityFile(file).catch((failure: unknown) => failure as Error);
      expect(error, name).toEqual(code('bad-input'));
      expect(JSON.stringify(error) + String(error), name).not.toMatch(/SECRET-KEY-1G|top secret/);
    }
    await expect(readIdentityFile(folder)).rejects.toEqual(code('bad-input'));
    await expect(readIdentityFile(path.join(folder, 'none'))).rejects.toEqual(code('not-found'));
  });
});
