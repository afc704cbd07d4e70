import { formatBytes } from '../base/format-bytes.ts';
import { printable } from '../base/names.ts';
import type { TensorChange, TensorSide, TensorsDiff } from '../flow/diff-tensors.ts';
import type { BrokenModel } from '../flow/model-tensors.ts';
import type { ListedTensor } from '../flow/tensors.ts';
import type { TensorDifference } from '../weights/difference.ts';
import type { Context } from './context.ts';
import { count, type Paint, table } from './text.ts';

/** Tensors that differ and are shown, unless `-v` asks for all. */
const tensorsShown = 50;

/** Warns of files that cannot be read as what they are; a document of JSON tells them by itself. */
export function tellBrokenModels(
  context: Context,
  broken: ReadonlyArray<BrokenModel & { readonly side?: 'before' | 'after' }>,
): void {
  if (context.options.json || context.options.jsonEvents) return;
  for (const { file, format, message, side } of broken) {
    const where = side === undefined ? '' : ` (${side})`;
    context.warn(printable(`${file}${where} cannot be read as ${format}: ${message}`));
  }
}

/** Lists tensors below their files. */
export function tensorLines(tensors: readonly ListedTensor[], paint: Paint): string[] {
  const rows: string[][] = [];
  let file: string | undefined;
  for (const tensor of tensors) {
    if (tensor.file !== file) rows.push(['', '', '', paint.strong(printable(tensor.file))]);
    file = tensor.file;
    const { name, dtype, shape, bytes } = tensor;
    rows.push([formatBytes(bytes), printable(dtype), shapeText(shape), `  ${printable(name)}`]);
  }
  return table(rows, [0]);
}

/** Describes what differs: other shapes and types first, then values, the largest change first. */
export function tensorDiffLines(found: TensorsDiff, { paint, options }: Context): string[] {
  const ranked = [...found.tensors].sort((a, b) => rankOf(a) - rankOf(b) || sizeOf(b) - sizeOf(a));
  const shown = options.verbose ? ranked : ranked.slice(0, tensorsShown);
  const more = ranked.length - shown.length;
  const rows = shown.map((change) => rowOf(change, paint));
  const { otherFiles } = found;
  return [
    ...table(rows),
    ...(more > 0 ? [`  and ${count(more, 'more tensor')} (-v shows them)`] : []),
    totalsLine(found),
    ...(otherFiles > 0
      ? [
          otherFiles === 1
            ? '1 other file differs; mstore diff names it'
            : `${count(otherFiles, 'other file')} differ; mstore diff names them`,
        ]
      : []),
  ];
}

const order: ReadonlyArray<TensorChange['change']> = [
  ...(['unread', 'removed', 'added', 'resized', 'retyped', 'changed'] as const),
];

function rankOf({ change }: TensorChange): number {
  return order.indexOf(change);
}

/** How large a change is: by its norm; where there is none, by the share that differs, behind those. */
function sizeOf({ difference }: TensorChange): number {
  if (difference === undefined) return -2;
  return difference.relativeNorm ?? difference.share - 1;
}

function rowOf(
  { name, change, before, after, difference, problem }: TensorChange,
  paint: Paint,
): string[] {
  const shown = printable(name);
  const files = [before?.file, after?.file].filter((file) => file !== undefined);
  const where = [...new Set(files)].map(printable).join(' -> ');
  const what = problem === undefined ? differenceText(difference) : printable(problem);
  const cells = [formText(before, after), what, paint.faint(where)];
  switch (change) {
    case 'added':
      return [paint.good(`+ ${shown}`), ...cells];
    case 'removed':
      return [paint.bad(`- ${shown}`), ...cells];
    case 'unread':
      return [paint.bad(`? ${shown}`), ...cells];
    default:
      return [paint.changed(`~ ${shown}`), ...cells];
  }
}

/** Type and shape, on both sides where they differ. */
function formText(before: TensorSide | undefined, after: TensorSide | undefined): string {
  const texts = [before, after].flatMap((side) =>
    side === undefined ? [] : [`${printable(side.dtype)} ${shapeText(side.shape)}`],
  );
  return [...new Set(texts)].join(' -> ');
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

function differenceText(difference: TensorDifference | undefined): string {
  if (difference === undefined) return '';
  const { unit, share, relativeNorm, notFinite } = difference;
  const norm = relativeNorm === null ? '' : `, norm ${short(relativeNorm)}`;
  const left = notFinite === 0 ? '' : `, ${count(notFinite, 'pair')} not finite`;
  return `${percent(share)} of ${unit}${norm}${left}`;
}

/** A share in three digits; all and nothing are said only where it is so. */
function percent(share: number): string {
  const text = short(share * 100);
  return share < 1 && text === '100' ? '99.9 %' : `${text} %`;
}

function short(number: number): string {
  return String(Number(number.toPrecision(3)));
}

function totalsLine({ totals }: TensorsDiff): string {
  const { unread, moved, unchanged, ...others } = totals;
  const parts = Object.entries({ ...others, 'not compared': unread, unchanged })
    .filter(([what, number]) => number > 0 || what === 'unchanged')
    .map(([what, number]) => `${count(number, '', '').trim()} ${what}`);
  const also = moved === 0 ? '' : `; ${count(moved, '', '').trim()} in another file than before`;
  return `Tensors: ${parts.join(', ')}${also}`;
}
