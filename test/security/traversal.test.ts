import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { MstoreError } from '../../src/base/errors.ts';
import { checkEntries, type LinkEntry, type TreeEntry } from '../../src/base/tree.ts';
import { parseRegistryKey } from '../../src/registry/keys.ts';
import { registryNameProblem } from '../../src/registry/names.ts';
import { formatRecord, parseRecord } from '../../src/registry/record.ts';
import { seal } from '../../src/registry/sealed.ts';
import { isKeyName } from '../../src/remote/keys.ts';
import { parseHeader } from '../../src/store/header.ts';
import { checkPointerName, parsePointer } from '../../src/worktree/pointer.ts';
import { storeBlobs } from '../support/blobs.ts';
import { type CliWorkspace, expectRefused, makeWorkspace } from '../support/cli.ts';
import { commitFiles } from '../support/git.ts';
import { madeRecord } from '../support/registry.ts';

const digest = sha256('evil');

/** Paths that lead out, or into folders of Git and mstore. */
const evilPaths = [
  '../evil',
  'a/../../evil',
  '/evil',
  './evil',
  'a//evil',
  'a/./evil',
  '..\\evil',
  'a\\..\\..\\evil',
  'C:\\evil\\..\\x',
  '.git/hooks/post-checkout',
  'a/.GIT/config',
  '.modelstore/config.toml',
  'git~1/config',
  '.g\u200cit/config',
  'evil\0.txt',
  'evil\n',
  '..',
  '.',
  '',
];

/** Those with which whole commands are tried: starting them takes longer than all checks. */
const triedPaths = ['../evil', 'a/../../evil', '.git/hooks/post-checkout'];

const names = (folder: string): string[] => fs.readdirSync(folder).sort();

/** Everything of the folder that holds the workspace, which must stay as it is. */
function around(ws: CliWorkspace): Record<string, readonly string[]> {
  const top = path.dirname(ws.root);
  return { top: names(top), root: names(ws.root), hooks: names(path.join(ws.root, '.git/hooks')) };
}

async function preparedWorkspace(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  fs.mkdirSync(ws.at('.git/hooks'), { recursive: true });
  return ws;
}

/** Puts a tree into the store that no program of ours would write; returns its digest. */
async function storedTree(ws: CliWorkspace, entries: readonly object[]): Promise<string> {
  const folder = path.dirname(ws.store);
  const { digests } = await storeBlobs(folder, [Buffer.from(JSON.stringify(entries))]);
  fs.rmSync(path.join(folder, 'source'));
  return digests[0] as string;
}

describe('paths that lead out', () => {
  it.each(evilPaths)('are refused by all that reads them: %j', (evil) => {
    expect(() => checkEntries([{ path: evil, size: 0, sha256: digest }])).toThrow(MstoreError);
    expect(() => checkEntries([{ path: evil, directory: true }])).toThrow(MstoreError);
    const pointer = { mstore: 1, path: evil, kind: 'file', sha256: digest, size: 0 };
    expect(() => {
      checkPointerName(parsePointer(Buffer.from(JSON.stringify(pointer)), 'x'), 'a.mstore');
    }).toThrow(MstoreError);
    const content = { path: evil, kind: 'file', sha256: digest, size: 0 } as const;
    const record = formatRecord(seal({ ...madeRecord('m', 'v1').value, content }));
    expect(() => parseRecord(record, 'x', { model: 'm', version: 'v1' })).toThrow(
      'the path of its content has',
    );
    for (const kind of ['model', 'version', 'environment'] as const) {
      expect(registryNameProblem(kind, evil)).toBeDefined();
    }
    expect(parseRegistryKey(`refs/models/${evil}/versions/v1.json`)).toBeUndefined();
    expect(parseRegistryKey(`refs/models/m/versions/${evil}.json`)).toBeUndefined();
    expect(isKeyName(evil)).toBe(false);
  });

  it.each(triedPaths)('are refused in the list of a stored tree: %j', async (evil) => {
    const ws = await preparedWorkspace();
    const tree = await storedTree(ws, [{ path: evil, size: 0, sha256: sha256('') }]);
    const pointer = { mstore: 1, path: 'data', kind: 'tree', sha256: tree, size: 0 };
    ws.write('data.mstore', JSON.stringify(pointer));
    const before = around(ws);
    await expectRefused(ws, ['checkout'], {
      code: 'corrupt-tree',
      message: /cannot be used/,
      hint: /Fetch the version again/,
    });
    expect(around(ws)).toEqual(before);
  });

  it('are refused in links of a stored tree, alone and in a chain', async () => {
    const ws = await preparedWorkspace();
    const outside: ReadonlyArray<readonly (LinkEntry | TreeEntry)[]> = [
      [{ path: 'l', link: '../../evil' }],
      [{ path: 'l', link: '/etc' }],
      [{ path: 'a/l', link: '../..' }],
      [
        { path: 'a', link: 'b' },
        { path: 'b', link: '..' },
      ],
      [
        { path: 'a', link: '.' },
        { path: 'a/evil', size: 0, sha256: sha256('') },
      ],
    ];
    for (const entries of outside) {
      const tree = await storedTree(ws, entries);
      const pointer = { mstore: 1, path: 'data', kind: 'tree', sha256: tree, size: 0 };
      ws.write('data.mstore', JSON.stringify(pointer));
      const before = around(ws);
      const { code, json } = await ws.run('--json', 'checkout');
      expect([code, json.error?.code], JSON.stringify(entries)).toEqual([5, 'corrupt-tree']);
      expect(around(ws)).toEqual(before);
    }
  });

  it.each(triedPaths)('are refused in a pointer of a commit: %j', async (evil) => {
    const ws = await preparedWorkspace();
    const pointer = { mstore: 1, path: evil, kind: 'file', sha256: digest, size: 0 };
    commitFiles(ws.root, { 'data.mstore': JSON.stringify(pointer) });
    const before = around(ws);
    const { code } = await ws.run('checkout', 'HEAD');
    expect(code).toBe(5);
    expect(around(ws)).toEqual(before);
  });

  it.each(triedPaths)('are refused in the record of a version on a remote: %j', async (evil) => {
    const ws = await preparedWorkspace();
    const content = { path: evil, kind: 'file', sha256: digest, size: 0 } as const;
    const record = seal({ ...madeRecord('ranker', 'v1').value, content });
    const file = path.join(ws.remote, 'refs/models/ranker/versions/v1.json');
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, formatRecord(record));
    const before = around(ws);
    for (const line of [['pull', 'ranker@v1'], ['pull', 'ranker@v1', '--to', 'out'], ['fetch']]) {
      const { code, json } = await ws.run('--json', ...line);
      expect([code, json.error?.code], line.join(' ')).toEqual([5, 'corrupt-registry']);
    }
    expect(around(ws)).toEqual(before);
  });

  it.each(triedPaths)('are refused in a registry that is imported: %j', async (evil) => {
    const ws = await preparedWorkspace();
    const before = around(ws);
    const documents = [
      { models: { [evil]: { v1: { metrics: { loss: 1 } } } } },
      { models: { ranker: { [evil]: { metrics: { loss: 1 } } } } },
      { models: { ranker: {} }, deployments: { ranker: { [evil]: { version: 'v1' } } } },
      {
        models: {},
        records: {
          ranker: {
            v1: {
              ...madeRecord('ranker', 'v1').value,
              content: { path: evil, kind: 'file', sha256: digest, size: 0 },
            },
          },
        },
      },
    ];
    for (const document of documents) {
      const file = path.join(path.dirname(ws.root), 'registry.json');
      fs.writeFileSync(file, JSON.stringify(document));
      const { code, json } = await ws.run('--json', 'registry', 'import', file);
      fs.rmSync(file);
      expect([code, json.error?.code], JSON.stringify(document)).toEqual([2, 'import-refused']);
    }
    expect(around(ws)).toEqual(before);
  });

  it('are refused as the identity of a remote, by which files are kept', () => {
    for (const id of [...evilPaths, '../'.repeat(10) + 'a'.repeat(2), 'g'.repeat(32)]) {
      const header = Buffer.from(JSON.stringify({ mstore: 1, id }));
      expect(() => parseHeader(header, 'x'), id).toThrow('no valid format and id');
    }
  });

  it.each(triedPaths)('are refused as the identity of the repository: %j', async (evil) => {
    const ws = await preparedWorkspace();
    ws.write('model.bin', 'model');
    await ws.add('model.bin');
    const config = ws.read('.modelstore/config.toml').toString();
    const text = config.replace(/^repository = .*$/m, `repository = ${JSON.stringify(evil)}`);
    ws.write('.modelstore/config.toml', text);
    const before = { ...around(ws), remote: names(ws.remote) };
    for (const line of [['push'], ['models'], ['status']]) {
      const { code, json } = await ws.run('--json', ...line);
      expect([code, json.error?.code], line.join(' ')).toEqual([2, 'config-invalid']);
    }
    expect({ ...around(ws), remote: names(ws.remote) }).toEqual(before);
  });
});
