import { isJsonObject } from '../base/json.ts';
import type { ByteReader } from '../weights/byte-reader.ts';
import { member, objectAt } from '../weights/json-text.ts';
import { readSafetensorsLayout } from '../weights/safetensors.ts';
import { quoted, type Report } from './report.ts';
import type { Neighbours } from './source.ts';

const shardsMax = 10_000;

/**
 * Checks the index of a model in several safetensors files against them: `*.safetensors.index.json`.
 * @param around absent where the files beside the index are not known
 */
export function checkShards(index: unknown, around: Neighbours | undefined, report: Report): void {
  const map = objectAt(index, 'weight_map');
  if (map === undefined || Object.values(map).some((file) => typeof file !== 'string')) {
    report.add('shards-index', 'weight_map is no object that gives a file for each tensor');
    return;
  }
  const shards = new Map<string, Set<string>>();
  for (const [tensor, file] of Object.entries(map)) {
    const tensors = shards.get(String(file)) ?? new Set();
    tensors.add(tensor);
    shards.set(String(file), tensors);
  }
  report.summary.tensors = Object.keys(map).length;
  report.summary.files = [...shards.keys()].slice(0, shardsMax).sort();
  let bytes: number | undefined = 0;
  for (const [file, tensors] of [...shards].slice(0, shardsMax)) {
    const found = checkShard(file, tensors, around, report);
    bytes = found === undefined || bytes === undefined ? undefined : bytes + found;
  }
  const total = member(objectAt(index, 'metadata'), 'total_size');
  if (typeof total === 'number' && bytes !== undefined && total !== bytes)
    report.add('shards-size', `total_size is ${total}; the shards have ${bytes} bytes of data`);
}

/** Checks one shard; returns the bytes of its data where it could be read. */
function checkShard(
  name: string,
  tensors: ReadonlySet<string>,
  around: Neighbours | undefined,
  report: Report,
): number | undefined {
  const where = `file ${quoted(name)}`;
  if (name === '' || name === '.' || name === '..' || /[/\\\0]/.test(name)) {
    report.add('shards-path', 'It is no name of a file beside the index', where);
    return undefined;
  }
  if (around === undefined) return undefined;
  const source = around.find(name);
  if (source === undefined) {
    report.add('shards-file', 'It is not there', where);
    return undefined;
  }
  const open = source.open();
  try {
    return compareShard(open, tensors, where, report);
  } finally {
    open.close();
  }
}

function compareShard(
  file: ByteReader,
  tensors: ReadonlySet<string>,
  where: string,
  report: Report,
): number | undefined {
  const layout = readSafetensorsLayout(file);
  // What is wrong with the shard itself is told of the shard.
  if (layout === undefined) return undefined;
  const inside = new Set(layout.tensors.map(({ name }) => name));
  const missing = [...tensors].find((name) => !inside.has(name));
  const surplus = [...inside].find((name) => !tensors.has(name));
  if (missing !== undefined)
    report.add(
      'shards-tensor',
      `The index puts ${quoted(missing)} into it, and it is not there`,
      where,
    );
  if (surplus !== undefined)
    report.add(
      'shards-tensor',
      `It holds ${quoted(surplus)}, which the index does not name`,
      where,
    );
  return file.size - layout.dataStart;
}

/** Tells whether a JSON value is an index of shards. */
export function isShardIndex(value: unknown): boolean {
  return isJsonObject(value) && Object.hasOwn(value, 'weight_map');
}
