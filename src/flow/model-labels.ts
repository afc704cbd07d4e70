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

/** A file of labels with more is none. */
const labelBytesMax = 16 * 1024 * 1024;
const labelsMax = 1_000_000;
const firstShown = 20;
/** Files that labels are read from, the one that counts more first. */
const labelFiles = ['config.json', 'labels.txt'];

/**
 * Reads the labels of a model: `id2label` of a `config.json`, else the lines of a `labels.txt`, of those that lie
 * nearest to the top.
 */
export function readLabels(sources: readonly Source[]): ModelLabels | null {
  for (const source of labelCandidates(sources)) {
    const all = parseLabels(source.path, bytesOf(source));
    if (all === undefined) continue;
    const labels = all.filter((label) => label !== '');
    return { count: labels.length, from: source.path, first: labels.slice(0, firstShown) };
  }
  return null;
}

/** Chooses the files that may hold labels, in the order in which they are looked at. */
export function labelCandidates<T extends { readonly path: string; readonly size: number }>(
  files: readonly T[],
): T[] {
  const nearest = [...files].sort((a, b) => depth(a.path) - depth(b.path));
  return labelFiles.flatMap((name) =>
    nearest.filter(({ path, size }) => nameOf(path) === name && size <= labelBytesMax),
  );
}

/**
 * Reads all labels of a file: the place of each is its number, and one that is left out is empty.
 * @returns undefined when it has none
 */
export function parseLabels(path: string, bytes: Uint8Array): string[] | undefined {
  const labels = nameOf(path) === 'labels.txt' ? linesOf(bytes) : mapOf(bytes);
  return labels?.some((label) => label !== '') ? labels : undefined;
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

/** An empty line in between stands for a label; those at the end do not. */
function linesOf(bytes: Uint8Array): string[] {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString().split(/\r?\n/);
  return lines.slice(0, lines.findLastIndex((line) => line.trim() !== '') + 1);
}

function mapOf(bytes: Uint8Array): string[] | undefined {
  const map = objectAt(readJson(bytes).value, 'id2label');
  if (!isJsonObject(map)) return undefined;
  const labels: string[] = [];
  for (const [key, label] of Object.entries(map)) {
    const id = /^\d{1,7}$/.test(key) ? Number(key) : labelsMax;
    if (id >= labelsMax) return undefined;
    labels[id] = typeof label === 'string' ? label : '';
  }
  return Array.from(labels, (label) => label ?? '');
}
