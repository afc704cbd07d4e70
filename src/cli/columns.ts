import { type Paint, table, visibleLength } from './text.ts';

/** A column of a table. */
export interface Column {
  readonly head: string;
  readonly cells: readonly string[];
  /** Whether its cells end flush, as numbers do. */
  readonly right?: boolean;
  /** Columns without a rank are always shown, others by their rank as long as there is room. */
  readonly rank?: number;
}

/** Spaces between two columns. */
const gap = 2;

/** Chooses the columns that fit into a width, in their order. */
export function fitColumns(columns: readonly Column[], width: number): Column[] {
  const chosen = new Set(columns.filter(({ rank }) => rank === undefined));
  let used = [...chosen].reduce((sum, column) => sum + columnWidth(column) + gap, -gap);
  const others = columns.filter(({ rank }) => rank !== undefined);
  for (const column of others.sort((a, b) => (a.rank ?? 0) - (b.rank ?? 0))) {
    const more = gap + columnWidth(column);
    if (used + more > width) continue;
    used += more;
    chosen.add(column);
  }
  return columns.filter((column) => chosen.has(column));
}

/** Lays columns out below their heads. */
export function columnLines(columns: readonly Column[], paint: Paint): string[] {
  const rows = columns[0]?.cells.map((_, i) => columns.map(({ cells }) => cells[i] ?? '')) ?? [];
  const right = [...columns.keys()].filter((i) => columns[i]?.right);
  return table([columns.map(({ head }) => paint.strong(head)), ...rows], right);
}

/** Counts the characters that the widest cell of a column has. */
export function columnWidth({ head, cells }: Column): number {
  return cells.reduce((most, cell) => Math.max(most, visibleLength(cell)), head.length);
}

/** Makes room below each cell of a column for what takes several lines in another one. */
export function spreadCells(column: Column, lines: ReadonlyArray<readonly string[]>): Column {
  const cells = column.cells.flatMap(
    (cell, i) => lines[i]?.map((_, line) => (line === 0 ? cell : '')) ?? [],
  );
  return { ...column, cells };
}

/** Digits that a number is shown with, the zeros before them not counted. */
const digitsShown = 4;
const decimalsMax = 12;
/** Numbers from here on are written with an exponent. */
const plainNumbersBelow = 1e15;

/**
 * Writes the numbers of one column with as many decimals as make four digits of the largest; a number
 * that would read as zero, and is none, has an exponent. So they are aligned when they end flush.
 */
export function numberCells(values: ReadonlyArray<number | undefined>): string[] {
  const plain = values.filter(
    (value): value is number => value !== undefined && Math.abs(value) < plainNumbersBelow,
  );
  const decimals = decimalsFor(plain);
  return values.map((value) => {
    if (value === undefined) return '-';
    if (Math.abs(value) >= plainNumbersBelow) return value.toExponential(digitsShown - 1);
    const text = value.toFixed(decimals);
    return value !== 0 && Number(text) === 0 ? value.toExponential(1) : grouped(text);
  });
}

function decimalsFor(values: readonly number[]): number {
  if (values.every(Number.isInteger)) return 0;
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const wanted = digitsShown - Math.ceil(Math.log10(largest));
  let decimals = Math.min(decimalsMax, Math.max(0, wanted));
  const isSpare = (value: number): boolean => value.toFixed(decimals).endsWith('0');
  while (decimals > 0 && values.every(isSpare)) decimals--;
  return decimals;
}

function grouped(text: string): string {
  return text.replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(?:\d{3})+$)/g, ','));
}
