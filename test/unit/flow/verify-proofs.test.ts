import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { sha256Raw } from '../../../src/base/digest.ts';
import { Proofs } from '../../../src/flow/verify/proofs.ts';
import { tempFolder } from '../../support/temp.ts';

const digests = Array.from({ length: 300 }, (_, n) => sha256Raw(Buffer.from(`recipe ${n}`)));

it('proofs are known after they were saved, in any number of runs', () => {
  const folder = path.join(tempFolder(), 'cache');
  for (let first = 0; first < 300; first += 100) {
    const proofs = new Proofs(folder);
    for (const [n, digest] of digests.entries()) expect(proofs.has(digest)).toBe(n < first);
    for (const digest of digests.slice(first, first + 100)) proofs.add(digest);
    for (const [n, digest] of digests.entries()) expect(proofs.has(digest)).toBe(n < first + 100);
    proofs.save();
  }
  const again = new Proofs(folder);
  expect(digests.every((digest) => again.has(digest))).toBe(true);
  expect(again.has(sha256Raw(Buffer.from('another')))).toBe(false);
});

it('a file of proofs that is damaged proves nothing more, and is made anew', () => {
  const folder = tempFolder();
  const file = path.join(folder, 'proven-recipes');
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(31, 1), Buffer.alloc(65, 255)]) {
    fs.writeFileSync(file, bytes);
    const proofs = new Proofs(folder);
    expect(digests.some((digest) => proofs.has(digest))).toBe(false);
    proofs.add(digests[0] as Buffer);
    proofs.save();
    expect(new Proofs(folder).has(digests[0] as Buffer)).toBe(true);
  }
  fs.rmSync(file);
  fs.mkdirSync(file);
  const proofs = new Proofs(folder);
  proofs.add(digests[0] as Buffer);
  proofs.save();
  expect(proofs.has(digests[0] as Buffer)).toBe(true);
});
