import * as fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { checkoutTo } from '../../src/flow/checkout-to.ts';
import { trackedInWorkspace } from '../../src/flow/tracked.ts';
import { formatRecipe, parseRecipe, RecipeBuilder } from '../../src/store/recipe.ts';
import {
  type CliWorkspace,
  type ExpectedError,
  expectError,
  expectGood,
  expectNoLeftovers,
  expectRefused,
  filesBelow,
  flipBit,
  makeWorkspace,
  snapshot,
  soleFile,
} from '../support/cli.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const model = xorshiftBytes(7, 2_000_000);
const digest = sha256(model);

/** A workspace with one pushed file of some chunks, which is then gone from the working tree. */
async function withModel(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  ws.write('a.onnx', model);
  ws.write('small.json', '{}');
  await ws.add('a.onnx', 'small.json');
  await ws.push();
  ws.remove('a.onnx');
  return ws;
}

const pack = (ws: CliWorkspace): string => soleFile(`${ws.store}/packs`);
const index = (ws: CliWorkspace): string => soleFile(`${ws.store}/index`);
const recipe = (ws: CliWorkspace): string => soleFile(`${ws.store}/recipes`);

/** Checks that neither way of writing files writes any, and that both say the same. */
async function expectNotWritten(ws: CliWorkspace, expected: ExpectedError): Promise<void> {
  await expectRefused(ws, ['checkout'], expected);
  const before = snapshot(ws);
  const workspace = await ws.open();
  const { tracked } = trackedInWorkspace(workspace);
  await expect(checkoutTo(workspace, tracked, ws.at('../out'))).rejects.toMatchObject({
    code: expected.code,
  });
  expect(snapshot(ws)).toEqual(before);
  expectNoLeftovers(ws);
  expect(fs.existsSync(ws.at('a.onnx'))).toBe(false);
  expect(fs.existsSync(ws.at('../out'))).toBe(false);
}

async function expectWhole(ws: CliWorkspace): Promise<void> {
  expect(sha256(ws.read('a.onnx'))).toBe(digest);
  await expectGood(ws);
  expectNoLeftovers(ws);
}

describe('a pack of the store', () => {
  test('cut short: named, and healed by pull', async () => {
    const ws = await withModel();
    fs.truncateSync(pack(ws), 1_000_000);
    await expectNotWritten(ws, {
      code: 'corrupt-pack',
      message:
        /^1\.91 MiB of a\.onnx, small\.json are not in the local store, where the pack [0-9a-f]{64} is damaged: it has 1000000 bytes instead of \d+$/,
      hint: /mstore pull/,
    });
    const { stdout } = await ws.ok('status');
    expect(stdout).toMatch(/missing {4}a\.onnx {2}\(1\.91 MiB to pull\)/);
    await ws.ok('pull');
    await expectWhole(ws);
  });

  test('cut short: healed by add where the files are whole', async () => {
    const ws = await withModel();
    fs.truncateSync(pack(ws), 10);
    fs.rmSync(index(ws));
    ws.write('a.onnx', model);
    await ws.add('a.onnx', 'small.json');
    ws.remove('a.onnx');
    await ws.ok('checkout');
    await expectWhole(ws);
  });

  test('with one bit flipped: found at checkout, cat and push, healed by the hint', async () => {
    const ws = await withModel();
    flipBit(pack(ws), 700_000);
    const expected = {
      code: 'corrupt-chunk',
      message: /^The chunk [0-9a-f]{64} in .*\.pack is damaged: its bytes have another digest$/,
      hint: /that pack.*, then run "mstore fetch"/,
    } as const;
    await expectNotWritten(ws, expected);
    const cat = await ws.run('cat', 'a.onnx');
    expect(cat.code).toBe(5);
    expect(cat.stderr).toMatch(/is damaged: its bytes have another digest \[corrupt-chunk\]/);
    await ws.addRemote('second', '../second');
    expectError(await ws.run('--json', 'push', '--remote', 'second'), expected);
    expect(filesBelow(ws.at('../second')).map((file) => file.slice(-11))).toEqual(['mstore.json']);
    fs.rmSync(pack(ws));
    await ws.ok('fetch');
    await ws.ok('checkout');
    await expectWhole(ws);
  });

  test('with a bit flipped in its footer: the index serves; without it, pull heals', async () => {
    const ws = await withModel();
    flipBit(pack(ws), -60);
    await ws.ok('checkout');
    await expectWhole(ws);
    ws.remove('a.onnx');
    fs.rmSync(index(ws));
    await expectNotWritten(ws, {
      code: 'corrupt-pack',
      message: /is damaged: its footer has another digest$/,
      hint: /mstore pull/,
    });
    await ws.ok('pull');
    await expectWhole(ws);
  });

  test('missing: the bytes are counted, and pulled', async () => {
    const ws = await withModel();
    fs.rmSync(pack(ws));
    await expectNotWritten(ws, {
      code: 'objects-missing',
      message: /^1\.91 MiB of a\.onnx, small\.json are not in the local store$/,
      hint: /mstore pull/,
    });
    await ws.addRemote('empty', '../empty');
    await expectRefused(ws, ['push', '--remote', 'empty'], {
      code: 'objects-missing',
      message: /neither in the local store nor on the remote/,
      hint: /Fetch them from a remote that has them/,
    });
    await ws.ok('pull');
    await expectWhole(ws);
  });
});

describe('a recipe of the store', () => {
  test.each([
    ['cut short', (file: string) => fs.truncateSync(file, 100), /do not match their own digest/],
    ['with one bit flipped', (file: string) => flipBit(file, 70), /do not match their own digest/],
    ['empty', (file: string) => fs.truncateSync(file, 0), /does not start as a recipe/],
    [
      'of another blob',
      (file: string) => {
        const other = parseRecipe(fs.readFileSync(file), digest);
        const moved = { ...other, count: other.count, rows: other.rows, blob: sha256('other') };
        fs.writeFileSync(file, formatRecipe(Object.setPrototypeOf(moved, other)));
      },
      /belongs to another blob/,
    ],
  ])('%s: named, and healed by pull', async (_, damage, message) => {
    const ws = await withModel();
    damage(recipe(ws));
    await expectNotWritten(ws, {
      code: 'corrupt-recipe',
      message: new RegExp(`^The recipe of the blob ${digest} is damaged: .*${message.source}`),
      hint: new RegExp(`Remove recipes/${digest.slice(0, 2)}/${digest}`),
    });
    const status = await ws.run('--json', 'status');
    expect(status.code).toBe(5);
    expect(status.json.paths).toMatchObject([
      { path: 'a.onnx', state: 'broken', error: { code: 'corrupt-recipe' } },
      { path: 'small.json', state: 'unchanged' },
    ]);
    await ws.ok('pull');
    await expectWhole(ws);
  });

  test('damaged: healed by add where the file is whole', async () => {
    const ws = await withModel();
    flipBit(recipe(ws), 70);
    ws.write('a.onnx', model);
    await ws.ok('add', 'a.onnx');
    ws.remove('a.onnx');
    await ws.ok('checkout');
    await expectWhole(ws);
  });

  test('that names a missing chunk', async () => {
    const ws = await withModel();
    const whole = parseRecipe(fs.readFileSync(recipe(ws)), digest);
    const builder = new RecipeBuilder();
    for (let row = 0; row < whole.count; row++) {
      const id = row === 1 ? sha256('no such chunk') : whole.chunk(row);
      builder.add(Buffer.from(id, 'hex'), whole.length(row));
    }
    fs.writeFileSync(recipe(ws), formatRecipe(builder.finish(digest)));
    await expectNotWritten(ws, {
      code: 'objects-missing',
      message: /^\d+ KiB of a\.onnx are not in the local store$/,
      hint: /mstore pull/,
    });
    const { json } = await ws.run('--json', 'checkout');
    expect(json.error?.details).toEqual({ bytes: whole.length(1), paths: ['a.onnx'] });
  });

  test('that yields other bytes', async () => {
    const ws = await withModel();
    const whole = parseRecipe(fs.readFileSync(recipe(ws)), digest);
    const builder = new RecipeBuilder();
    for (let row = whole.count - 1; row >= 0; row--) {
      builder.add(Buffer.from(whole.chunk(row), 'hex'), whole.length(row));
    }
    fs.writeFileSync(recipe(ws), formatRecipe(builder.finish(digest)));
    await expectNotWritten(ws, {
      code: 'corrupt-recipe',
      message: /is damaged: it yields other bytes$/,
      hint: /Remove recipes\//,
    });
    // The hint works.
    fs.rmSync(recipe(ws));
    await ws.ok('fetch');
    await ws.ok('checkout');
    await expectWhole(ws);
  });

  test('of a newer format', async () => {
    const ws = await withModel();
    const bytes = fs.readFileSync(recipe(ws));
    bytes.writeUInt32LE(2, 8);
    fs.writeFileSync(recipe(ws), bytes);
    await expectNotWritten(ws, {
      code: 'newer-format',
      message: /A recipe has format 2; this mstore reads 1/,
      hint: /Install a newer mstore/,
    });
  });
});

describe('the index of a pack heals itself', () => {
  test.each([
    ['missing', (file: string) => fs.rmSync(file)],
    ['cut short', (file: string) => fs.truncateSync(file, 100)],
    ['with one bit flipped', (file: string) => flipBit(file, 40)],
    [
      'of another pack',
      (file: string) => fs.writeFileSync(file, Buffer.from('MSTOREIX'.repeat(40))),
    ],
  ])('%s', async (_, damage) => {
    const ws = await withModel();
    const file = index(ws);
    const before = fs.readFileSync(file);
    damage(file);
    await ws.ok('checkout');
    await expectWhole(ws);
    expect(fs.readFileSync(file)).toEqual(before);
  });

  test('as a whole folder, also where it cannot be written', async () => {
    const ws = await withModel();
    fs.rmSync(`${ws.store}/index`, { recursive: true });
    fs.writeFileSync(`${ws.store}/index`, 'a file in the place of the folder');
    await ws.ok('checkout');
    await expectWhole(ws);
  });
});

describe('the header of the store', () => {
  test.each([
    [
      'damaged',
      '{',
      'corrupt-store',
      /mstore\.json is no header of an mstore store/,
      /Remove that file/,
    ],
    [
      'without an id',
      '{"mstore":1}',
      'corrupt-store',
      /has no valid format and id/,
      /Remove that file/,
    ],
    [
      'of a newer format',
      '{"mstore":2}',
      'newer-format',
      /uses format 2, which this mstore cannot read/,
      /newer mstore/,
    ],
  ] as const)('%s', async (_, text, code, message, hint) => {
    const ws = await withModel();
    fs.writeFileSync(`${ws.store}/mstore.json`, text);
    for (const line of ['status', 'add small.json']) {
      await expectRefused(ws, line.split(' '), { code, message, hint });
    }
  });

  test('missing: made anew by the next writer', async () => {
    const ws = await withModel();
    fs.rmSync(`${ws.store}/mstore.json`);
    await ws.ok('checkout');
    ws.write('new.onnx', 'new');
    await ws.add('new.onnx');
    expect(fs.existsSync(`${ws.store}/mstore.json`)).toBe(true);
    await expectWhole(ws);
  });
});

test('a blob of one chunk that another pack also has is read from the whole one', async () => {
  const ws = await withModel();
  // What a damaged pack holds counts as absent, so that adding it again stores it again.
  fs.truncateSync(pack(ws), 500);
  ws.write('small.json', '{}');
  await ws.add('small.json');
  ws.remove('small.json');
  await ws.ok('checkout', 'small.json');
  expect(ws.read('small.json').toString()).toBe('{}');
  expect(filesBelow(`${ws.store}/packs`)).toHaveLength(2);
});
