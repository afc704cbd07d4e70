/**
 * Parts that are measured by tools of their own, each with a table of its own. A tool that is not there or
 * fails leaves a sentence in the place of its table.
 */
import { mstoreDist } from './environment.js';

const extras = {
  edits: {
    title: 'Structural edits',
    file: '../structural-edits.js',
    measure: (tool, place) => tool.structuralEdits({ place, mstoreDist }),
    text: (rows, tool) => tool.structuralEditsMarkdown(rows).trimEnd(),
  },
  compression: {
    title: 'Compression',
    file: '../compression.js',
    measure: (tool) => tool.compressionTable(),
    text: (rows, tool) =>
      `Stored share of the raw bytes @ MB/s of encoding / of decoding, on one thread, without hashing.\n\n${tool.compressionMarkdown(rows)}`,
  },
  encryption: {
    title: 'Encrypted remotes',
    file: '../encrypted-remotes.js',
    measure: (tool, place, { sizeMiB, runs }) =>
      tool.encryptedRemotes({ place, size: Math.min(512, sizeMiB), runs }),
    text: (rows, tool) =>
      `A directory remote, one file without any pattern. Throughput is the median of the rounds.\n\n${tool.encryptedRemotesMarkdown(rows)}`,
  },
  signatures: {
    title: 'Signatures',
    file: '../signatures.js',
    measure: (tool, place, { sizeMiB, runs }) =>
      tool.signatures({ place, size: Math.min(512, sizeMiB), runs }),
    text: (rows, tool) =>
      `A version of one file, signed and verified by its digests; a directory with that file, byte for byte; and a bare program on Node that hashes the file. Medians of the rounds.\n\n${tool.signaturesMarkdown(rows)}`,
  },
  index: {
    title: 'Index',
    file: '../index-scale.js',
    measure: (tool, place) => packRows.map((rows) => tool.indexScale({ place, rows })),
    text: (rows) => indexTable(rows),
  },
};

/** Chunks of a pack: one that is full, and one of a small push. */
const packRows = [65_536, 800];

export const extraNames = Object.keys(extras);

/**
 * Runs one of these tools in a scratch folder.
 * @param options of the bench: sizes, rounds
 */
export async function measureExtra(id, place, options) {
  const { title, file, measure, text } = extras[id];
  let tool;
  try {
    tool = await import(new URL(file, import.meta.url).href);
  } catch (error) {
    if (error?.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    return { id, title, problem: 'the tool for it is not here' };
  }
  try {
    const rows = await measure(tool, place, options);
    return { id, title, rows, text: text(rows, tool) };
  } catch (error) {
    return { id, title, problem: error instanceof Error ? error.message : String(error) };
  }
}

const line = (cells) => `| ${cells.join(' | ')} |`;

/** A table with a line for each field and a column for each kind of pack. */
function indexTable(rows) {
  const lines = fieldNames(rows).map((name) =>
    line([words(name), ...rows.map((row) => plainCell(row[name]))]),
  );
  const head = [line(['', 'full packs', 'small packs']), line(['---', ...rows.map(() => '---')])];
  return [...head, ...lines].join('\n');
}

function fieldNames(rows) {
  return [...new Set(rows.flatMap((row) => Object.keys(row)))];
}

/** The words of a name of a field. */
function words(name) {
  return name.replace(/[A-Z]+/g, (letter) => ` ${letter.toLowerCase()}`);
}

function plainCell(value) {
  if (typeof value === 'number')
    return value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toFixed(2)));
  return String(value ?? '');
}
