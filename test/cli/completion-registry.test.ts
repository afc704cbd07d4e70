import { describe, expect, it } from 'vitest';
import { localRegistry } from '../../src/flow/registry.ts';
import { environmentLog, stateLog } from '../../src/registry/registry.ts';
import { type CliWorkspace, makeWorkspace } from '../support/cli.ts';
import { environmentDraft, madeRecord, stateDraft } from '../support/registry.ts';

async function proposals(ws: CliWorkspace, ...words: string[]): Promise<string[]> {
  const { stdout } = await ws.run('--get-yargs-completions', 'mstore', ...words);
  return stdout.split('\n').filter((line) => line !== '');
}

async function filled(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  const registry = await localRegistry(await ws.open());
  for (const version of ['v1', 'v2', 'v3']) {
    await registry.createRecord(madeRecord('ranker', version, { metrics: { accuracy: 1 } }));
  }
  await registry.createRecord(madeRecord('reader', 'v7'));
  const draft = environmentDraft(madeRecord('ranker', 'v1'), 'staging');
  await registry.append(environmentLog('ranker', 'staging'), draft, undefined);
  const deleted = stateDraft('ranker', 'v3', 'deleted');
  await registry.append(stateLog('ranker', 'v3'), deleted, undefined);
  return ws;
}

describe('completion of names of the registry', () => {
  it('proposes models, versions, environments, metrics and remotes', async () => {
    const ws = await filled();
    const cases: ReadonlyArray<readonly [string, string[]]> = [
      ['versions ', ['ranker', 'reader']],
      ['history ra', ['ranker']],
      ['rollback --env ', ['staging']],
      ['rollback --env = st', ['staging']],
      ['rollback ranker --to v', ['v1', 'v2', 'v3']],
      ['promote ranker --to st', ['staging']],
      ['deploy reader@v7 --env ', []],
      ['show ran', ['ranker@v1', 'ranker@v2', 'ranker@latest', 'ranker@staging']],
      ['deploy ranker@s', ['ranker@staging']],
      ['archive r', ['ranker@v1', 'ranker@v2', 'reader@v7']],
      ['archive ranker@v1 ', []],
      ['versions ranker --sort ', ['version', 'created', 'accuracy']],
      ['models --remote ', ['origin']],
      ['versions ranker --rev', ['--reverse']],
      ['versions ranker --reason ', []],
    ];
    for (const [line, expected] of cases) {
      expect(await proposals(ws, ...line.split(' ')), line).toEqual(expected);
    }
  });

  it('proposes environments of the order that is configured', async () => {
    const ws = await filled();
    await ws.ok('config', 'set', 'registry.lifecycle', 'staging,production');
    expect(await proposals(ws, 'deploy', 'reader@v7', '--env', '')).toEqual([
      'production',
      'staging',
    ]);
  });

  it('gives the rest of a reference to bash, for which it is three words', async () => {
    const ws = await filled();
    expect(await proposals(ws, 'show', 'ranker', '@', 'v')).toEqual(['v1', 'v2']);
    expect(await proposals(ws, 'show', 'ranker', '@')).toEqual([
      '@v1',
      '@v2',
      '@latest',
      '@staging',
    ]);
    expect(await proposals(ws, 'deploy', 'ranker', '@', 'v1', '--env', '')).toEqual(['staging']);
  });

  it('proposes nothing where there is nothing', async () => {
    const ws = await makeWorkspace();
    expect(await proposals(ws, 'show', '')).toEqual([]);
    expect(await proposals(ws, 'versions', 'x', '--sort', '')).toEqual(['version', 'created']);
  });
});
