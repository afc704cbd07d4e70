import { gzipSync } from 'node:zlib';
import {
  formatManifest,
  type PackageManifest,
  parseManifest,
} from '../../../src/archive/manifest.ts';
import { readPackage } from '../../../src/archive/package-read.ts';
import { sha256 } from '../../../src/base/digest.ts';
import type { ErrorCode } from '../../../src/base/errors.ts';
import { isFileEntry, isLinkEntry, type TreeEntry } from '../../../src/base/tree.ts';
import { goodEntries, manifestOf, paxRecord, rawTar, treeOf } from '../../support/packages.ts';
import { type FuzzTarget, promise, refused, refusedLater, same } from '../target.ts';

const codes: readonly ErrorCode[] = ['corrupt-package', 'newer-format'];
const contents = { a: 'one', 'b/c': 'two', empty: undefined, link: '->a' };
const words = ['"mstore"', '"files"', '"registry"', '"content"', '"sha256"', '"link"', '../'];

export const manifest: FuzzTarget = {
  name: 'package-manifest',
  bytesMax: 64 * 1024,
  seeds: () => {
    const version = { model: 'm', version: '1', record: sha256('x') };
    const key = 'refs/models/m/versions/1.json';
    const registry = [{ key, size: 3, sha256: sha256('y') }];
    return {
      plain: formatManifest(manifestOf(treeOf(contents))),
      version: formatManifest(manifestOf(treeOf(contents), { version, registry })),
    };
  },
  words,
  run(bytes) {
    const parsed = refused(codes, () => parseManifest(bytes, 'there'));
    if (parsed === undefined) return;
    const written = formatManifest(parsed);
    same(
      parseManifest(written, 'there'),
      parsed,
      'a manifest that is written and read is the same',
    );
    promise(formatManifest(parsed).equals(written), 'a manifest has one form');
  },
};

/** Reads a package, and notes what was handed out of it. */
async function read(bytes: Buffer): Promise<{ manifest: PackageManifest; taken: TreeEntry[] }> {
  const taken: TreeEntry[] = [];
  const source = (async function* () {
    yield bytes;
  })();
  const found = await readPackage(source, 'there', {
    manifest() {},
    object() {},
    async file(entry, blocks) {
      const parts: Uint8Array[] = [];
      for await (const block of blocks) parts.push(block);
      const whole = Buffer.concat(parts);
      const { path, executable } = entry;
      const mode = executable ? { executable } : {};
      taken.push({ path, size: whole.length, sha256: sha256(whole), ...mode });
    },
    link: (entry) => void taken.push(entry),
    directory: (entry) => void taken.push(entry),
  });
  return { manifest: found, taken };
}

export const archive: FuzzTarget = {
  name: 'package',
  bytesMax: 64 * 1024,
  seeds: () => {
    const [first, second, ...rest] = goodEntries(contents);
    if (first === undefined || second === undefined) throw new Error('No entries');
    const pax = { name: 'p', type: 'x', bytes: paxRecord('path', second.name) };
    const long = { name: 'p', type: 'L', bytes: `${second.name}\0` };
    return {
      plain: rawTar([first, second, ...rest]),
      pax: rawTar([first, pax, { ...second, name: 'x' }, ...rest]),
      gnu: rawTar([first, long, { ...second, name: 'x' }, ...rest]),
    };
  },
  words: ['ustar', 'm_1/files/', '../', ' path=', ' size=', ' linkpath='],
  async run(bytes) {
    for (const given of [bytes, gzipSync(bytes, { level: 0 })]) {
      const found = await refusedLater(codes, () => read(given));
      if (found === undefined) continue;
      same(found.taken, found.manifest.files, 'what is handed out is what the manifest lists');
      const { size } = found.manifest.content;
      const sum = found.taken.reduce((total, one) => total + (isFileEntry(one) ? one.size : 0), 0);
      promise(sum === size, 'a package has as many bytes as it says');
      promise(
        !found.taken.some((one) => isLinkEntry(one) && one.link.startsWith('/')),
        'no link leaves',
      );
    }
  },
};
