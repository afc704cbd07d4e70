import { isJsonObject } from '../base/json.ts';
import type { Source } from '../validate/source.ts';
import { objectAt, readJson } from '../weights/json-text.ts';

/** The labels that a classifier tells apart. */
export interface ModelLabels {
  readonly count: number;
  /** File that they were read from. */
  readonly from: string;
  /** The first ones, in the order of their numbers. */
  readonly first: readonly string[];
}

const fileBytesMax = 16 * 1024 * 1024;
const firstShown = 20;

/**
 * Reads the labels of a model: `id2label` of a `config.json`, else the lines of a `labels.txt`, of those that lie
 * nearest to the top.
 */
export function readLabels(sources: readonly Source[]): ModelLabels | null {
  const nearest = [...sources].sort((a, b) => depth(a.path) - depth(b.path));
  for (const name of ['config.json', 'labels.txt']) {
    for (const source of nearest) {
      if (nameOf(source.path) !== name || source.size > fileBytesMax) continue;
      const labels = name === 'labels.txt' ? linesOf(source) : mapOf(source);
      if (labels === undefined || labels.length === 0) continue;
      return { count: labels.length, from: source.path, first: labels.slice(0, firstShown) };
    }
  }
  return null;
}

function depth(path: string): number {
  return path.split('/').length;
}

function nameOf(path: string): string {
  return path.split('/').at(-1) ?? '';
}

function bytesOf(source: Source): Uint8Array {
  const open = source.open();
  try {
    return open.read(0, open.size);
  } finally {
    open.close();
  }
}

function linesOf(source: Source): string[] {
  const text = Buffer.from(bytesOf(source)).toString();
  return text.split(/\r?\n/).filter((line) => line.trim() !== '');
}

function mapOf(source: Source): string[] | undefined {
  const map = objectAt(readJson(bytesOf(source)).value, 'id2label');
  if (!isJsonObject(map)) return undefined;
  const entries = Object.entries(map).sort(([a], [b]) => Number(a) - Number(b));
  return entries.map(([, label]) => (typeof label === 'string' ? label : ''));
}
