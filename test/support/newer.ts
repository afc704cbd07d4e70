import * as fs from 'node:fs';
import * as path from 'node:path';
import { sha256 } from '../../src/base/digest.ts';
import { readPackFooter } from '../../src/pack/reader.ts';
import { indexKey, packKey } from '../../src/store/keys.ts';
import { filesBelow } from './format-1.ts';

/** Rewrites the first pack of a store or a remote as one of format 2, under the name its footer then has. */
export function newerPack(folder: string): void {
  const [name] = [...filesBelow(path.join(folder, 'packs')).keys()] as [string];
  const old = path.join(folder, 'packs', name);
  const { bytes: footer, payloadBytes, id } = readPackFooter(old);
  const changed = Buffer.from(footer);
  changed.writeUInt32LE(2, 8);
  const pack = sha256(changed);
  const bytes = fs.readFileSync(old);
  changed.copy(bytes, payloadBytes);
  bytes.writeUInt32LE(2, bytes.length - 48);
  Buffer.from(pack, 'hex').copy(bytes, bytes.length - 32);
  fs.rmSync(old);
  fs.rmSync(path.join(folder, indexKey(id)));
  for (const [key, content] of [
    [packKey(pack), bytes],
    [indexKey(pack), changed],
  ] as const) {
    fs.mkdirSync(path.dirname(path.join(folder, key)), { recursive: true });
    fs.writeFileSync(path.join(folder, key), content);
  }
}
