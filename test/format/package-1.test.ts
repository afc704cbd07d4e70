import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PackageManifest } from '../../src/archive/manifest.ts';
import { packageBytes } from '../../src/archive/package-write.ts';
import { sha256 } from '../../src/base/digest.ts';
import type { FileEntry } from '../../src/base/tree.ts';
import { packageFile } from '../../src/flow/package-source.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { readHistory } from '../../src/flow/registry-history.ts';
import { unpackage } from '../../src/flow/unpackage.ts';
import { unpackageTo } from '../../src/flow/unpackage-to.ts';
import { type EnvironmentEntry, formatEntry } from '../../src/registry/entry.ts';
import { formatRecord } from '../../src/registry/record.ts';
import { seal } from '../../src/registry/sealed.ts';
import { makePlainProject, testSurroundings } from '../support/flow-project.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { stateOf } from '../support/flow-state.ts';
import { manifestOf, treeOf } from '../support/packages.ts';
import { environmentDraft, madeRecord } from '../support/registry.ts';

/** The frozen package of the format. Nothing may write it. */
const fixture = new URL('../fixtures/package-1/ocr_v1.tar.gz', import.meta.url).pathname;

const long = `deep/${'folder/'.repeat(20)}${'n'.repeat(120)}`;
const contents = {
  'config.json': '{"version":1}\n',
  empty: '',
  latest: '->config.json',
  nothing: undefined,
  [long]: 'far away',
  'run.sh': '#!/bin/sh\nexec true\n',
  '😀 größe "π".txt': 'named',
  [`zlink`]: `->${long}`,
};

/** What the frozen package was made of. */
function parts(): { manifest: PackageManifest; objects: Map<string, Buffer> } {
  const files = treeOf(contents).map((entry) =>
    entry.path === 'run.sh' ? ({ ...entry, executable: true } as FileEntry) : entry,
  );
  const { content } = manifestOf(files);
  const record = madeRecord('ocr', 'v1', {
    content: { ...content, path: 'models/ocr' },
    metrics: { accuracy: 0.91 },
    metadata: { layers: [1, { größe: 'π' }] },
  });
  const entry = seal<EnvironmentEntry>({
    ...environmentDraft(record, 'production'),
    number: 1,
    previous: null,
  });
  const objects = new Map([
    ['refs/models/ocr/environments/production/00000001.json', formatEntry(entry)],
    ['refs/models/ocr/versions/v1.json', formatRecord(record)],
  ]);
  const manifest = manifestOf(files, {
    name: 'ocr_v1',
    version: { model: 'ocr', version: 'v1', record: record.sha256 },
    content: record.value.content,
    registry: [...objects].map(([key, bytes]) => ({
      key,
      size: bytes.length,
      sha256: sha256(bytes),
    })),
  });
  return { manifest, objects };
}

describe('the frozen package', () => {
  it('is written byte for byte', async () => {
    const { manifest, objects } = parts();
    const written: Buffer[] = [];
    const source = {
      object: async ({ key }: { key: string }) => objects.get(key) ?? Buffer.alloc(0),
      file: ({ path: name }: FileEntry) => [
        Buffer.from(contents[name as keyof typeof contents] ?? ''),
      ],
    };
    for await (const block of packageBytes(manifest, source)) written.push(Buffer.from(block));
    expect(Buffer.concat(written).equals(fs.readFileSync(fixture))).toBe(true);
  });

  it('is read, with and without a workspace', async () => {
    const to = path.join(scratchFolder(), 'out');
    await unpackageTo(packageFile(fixture), to, testSurroundings());
    expect(fs.readFileSync(path.join(to, long), 'utf8')).toBe('far away');
    expect(fs.readlinkSync(path.join(to, 'zlink'))).toBe(long);
    expect(fs.statSync(path.join(to, 'run.sh')).mode & 0o111).not.toBe(0);
    const project = await makePlainProject();
    await unpackage(await project.open(), packageFile(fixture));
    await project.checkout(['ocr@production']);
    expect(stateOf(project.at('models/ocr'))).toEqual(stateOf(to));
    const { entries } = await readHistory(await localRegistry(await project.open()), 'ocr');
    expect(entries).toMatchObject([{ environment: 'production', version: 'v1' }]);
  });
});
