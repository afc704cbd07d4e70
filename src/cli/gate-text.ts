import { printable } from '../base/names.ts';
import type { Verdict } from '../registry/gate.ts';
import { formatNumber, limitTold, regressTold, verdictSentence } from '../registry/gate-report.ts';
import { type Paint, table } from './text.ts';

/**
 * Writes a verdict for people: a table of the metrics, the bounds, and the decision in one sentence.
 * @param columns of the terminal that the sentence is broken for; undefined keeps it on one line
 */
export function verdictLines(
  verdict: Verdict,
  environment: string,
  paint: Paint,
  columns?: number,
): string[] {
  const word = { held: paint.good('ok'), broken: paint.bad('failed') };
  const bounds = [
    ...verdict.limits.map((one) => [one.held, limitTold(one)] as const),
    ...verdict.regress
      .filter(({ worse }) => worse !== undefined)
      .map((one) => [one.held, regressTold(one)] as const),
  ].map(([held, told]) => [held ? word.held : word.broken, told]);
  const [first = '', ...more] = wrap(verdictSentence(verdict, environment), columns);
  const colon = first.indexOf(':');
  const decision = (verdict.passed ? paint.good : paint.bad)(first.slice(0, colon));
  return [
    ...metricsTable(verdict, paint),
    ...(bounds.length === 0 ? [] : ['', ...table(bounds)]),
    ...leftOutLines(verdict, paint),
    '',
    `${paint.strong(decision)}${first.slice(colon)}`,
    ...more,
  ];
}

/** Breaks a text between words into lines of some columns; a longer word stays whole. */
function wrap(text: string, columns = Infinity): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

function leftOutLines({ leftOut }: Verdict, paint: Paint): string[] {
  if (leftOut.length === 0) return [];
  const lines = leftOut.map(({ version, lacks }) =>
    paint.faint(`not compared: ${version}, which lacks ${printable(lacks.join(', '))}`),
  );
  return ['', ...lines];
}

interface Row {
  readonly name: string;
  readonly weight?: number | undefined;
  readonly value?: number | undefined;
  readonly rival?: number | undefined;
  readonly difference?: number | undefined;
  readonly share?: number | undefined;
}

function metricsTable(verdict: Verdict, paint: Paint): string[] {
  const { version, rival, metrics, score, rivalScore, margin } = verdict;
  const rows: Row[] = metrics.map((one) => ({
    ...one,
    name: printable(one.metric) + (one.better === 'lower' ? ' (lower is better)' : ''),
  }));
  if (score !== undefined) {
    rows.push({ name: 'score', value: score, rival: rivalScore, share: margin ?? score });
  }
  const columns = [
    ['weight', rows.map((row) => plain(row.weight))],
    [version, rows.map((row) => plain(row.value))],
    [rival, rows.map((row) => plain(row.rival))],
    ['difference', rows.map((row) => signed(row.difference))],
    ['share', rows.map((row) => (rival === undefined ? plain : signed)(row.share))],
  ] as const;
  // A column without a number says nothing: that of a rival where there is none.
  const shown = columns.filter(([, cells]) => cells.some((cell) => cell !== ''));
  const aligned = shown.map(([, cells]) => alignAtPoint(cells));
  const heads = ['metric', ...shown.map(([head = '']) => head)].map(paint.strong);
  const body = rows.map((row, i) => [row.name, ...aligned.map((cells) => cells[i] ?? '')]);
  const right = heads.map((_, i) => i).slice(1);
  return table([heads, ...body], right);
}

function plain(value: number | undefined): string {
  return value === undefined ? '' : formatNumber(value);
}

function signed(value: number | undefined): string {
  return value === undefined ? '' : `${value > 0 ? '+' : ''}${formatNumber(value)}`;
}

/** Writes spaces behind numbers, so that their points stand below each other. */
function alignAtPoint(cells: readonly string[]): string[] {
  const behind = cells.map((cell) => (cell === '' ? 0 : cell.length - wholeLength(cell)));
  const most = Math.max(...behind);
  return cells.map((cell, i) =>
    cell === '' ? '' : cell + ' '.repeat(most - (behind[i] as number)),
  );
}

function wholeLength(cell: string): number {
  return /^[-+]?\d+/.exec(cell)?.[0].length ?? cell.length;
}
