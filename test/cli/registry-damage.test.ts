import * as fs from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { formatRecord, parseRecord } from '../../src/registry/record.ts';
import { seal } from '../../src/registry/sealed.ts';
import { type HereResult, runHere } from '../support/cli-here.ts';
import { copySeed, makeSeed, type Seed, type State, storeName } from '../support/damage-seed.ts';
import { scratchFolder } from '../support/flow-scratch.ts';

let seed: Seed;
beforeAll(async () => {
  seed = await makeSeed();
});

/** A registry with two versions of a model, of which the one object is cut short. */
function withDamage(file: string): State {
  const state = copySeed(seed, scratchFolder());
  fs.truncateSync(state.at(file), 100);
  return state;
}

const record = 'refs/models/demo/versions/v1.0.0.json';
const damaged = expect.objectContaining({
  code: 'corrupt-registry',
  message: expect.stringContaining(record),
  hint: expect.stringMatching(/Remove it.*mstore fetch/),
});

const run = ({ work }: State, ...argv: string[]): Promise<HereResult> => runHere(work, argv);

describe('a damaged record', () => {
  test('does not keep versions and models from telling of the others', async () => {
    const state = withDamage(`${storeName}/${record}`);
    const versions = await run(state, 'versions', 'demo');
    expect(versions).toMatchObject({ exit: 5, error: damaged });
    expect(versions.document).toMatchObject({
      latest: 'v1.1.0',
      versions: [{ version: 'v1.1.0' }],
      problems: [damaged],
    });
    const models = await run(state, 'models');
    expect(models).toMatchObject({ exit: 5, error: damaged });
    expect(models.document).toMatchObject({
      models: [{ model: 'demo', versions: 1, latest: 'v1.1.0' }],
      problems: [damaged],
    });
    // The hint works.
    fs.rmSync(state.at(storeName, record));
    expect(await run(state, 'fetch')).toMatchObject({ exit: 0 });
    const healed = await run(state, 'versions', 'demo');
    expect(healed).toMatchObject({ exit: 0, document: { versions: [{}, {}] } });
    expect(healed.document).not.toHaveProperty('problems');
  });

  test('of a remote does not keep fetch from the data, and fails it', async () => {
    const state = withDamage(`origin/${record}`);
    for (const name of ['packs', 'index', 'recipes', 'refs', 'known']) {
      fs.rmSync(state.at(storeName, name), { recursive: true });
    }
    fs.rmSync(state.at('work/model.bin'));
    expect(await run(state, 'fetch')).toMatchObject({ exit: 5, error: damaged });
    expect(await run(state, 'checkout')).toMatchObject({ exit: 0 });
    expect(fs.readFileSync(state.at('work/model.bin')).length).toBe(1_500_000);
  });

  test('of a remote is told of when another remote has the registry', async () => {
    const state = withDamage(`origin/${record}`);
    for (const name of ['refs', 'known']) {
      fs.rmSync(state.at(storeName, name), { recursive: true });
    }
    const remotes = ['--remote', '../origin', '--remote', '../backup'];
    const fetched = await run(state, 'fetch', ...remotes);
    expect(fetched.exit).toBe(0);
    expect(fetched.told).toEqual([expect.stringContaining(record)]);
    expect(await run(state, 'versions', 'demo')).toMatchObject({ exit: 0 });
  });

  test('of a remote fails a fetch also where another one has no registry', async () => {
    const state = withDamage(`origin/${record}`);
    fs.rmSync(state.at(storeName, 'refs'), { recursive: true });
    const remotes = ['--remote', '../origin', '--remote', '../fresh'];
    expect(await run(state, 'fetch', ...remotes)).toMatchObject({ exit: 5, error: damaged });
  });
});

test('what is remembered of one remote hides no difference of another', async () => {
  const state = copySeed(seed, scratchFolder());
  const there = state.at('backup', record);
  const { value } = parseRecord(fs.readFileSync(there), there, {
    model: 'demo',
    version: 'v1.0.0',
  });
  fs.writeFileSync(there, formatRecord(seal({ ...value, author: 'Eve' })));
  const [origin, backup] = ['origin', 'backup'].map((name) => {
    const { id } = JSON.parse(fs.readFileSync(state.at(name, 'mstore.json'), 'utf8'));
    return state.at(storeName, 'known', sha256(id as string).slice(0, 32));
  }) as [string, string];
  fs.copyFileSync(origin, backup);
  const differs = { exit: 6, error: expect.objectContaining({ code: 'version-exists' }) };
  expect(await run(state, 'push', '--remote', '../backup')).toMatchObject(differs);
  // Nor does a list that is far too long to be one.
  fs.truncateSync(backup, 100 * 1024 * 1024);
  expect(await run(state, 'push', '--remote', '../backup')).toMatchObject(differs);
});
