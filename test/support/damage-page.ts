import { type ErrorCode, errorCodes, exitCodeOf } from '../../src/base/errors.ts';
import {
  cellOf,
  commandNames,
  damageNames,
  damageTable,
  type KindName,
  kindNames,
  reasonOf,
  remedyOf,
  verdictOf,
} from './damage-table.ts';

/** The tables of the chapter on damage in docs/reliability.md, made of the data of the tests. */
export function damagePage(): string {
  return kindNames.map(kindSection).join('\n');
}

function kindSection(kind: KindName): string {
  const head = ['', ...commandNames.map((name) => `\`${name}\``)];
  const rows: string[][] = [];
  const reasons: string[] = [];
  for (const damage of damageNames) {
    const reason = reasonOf(kind, damage);
    if (reason !== undefined) reasons.push(`No *${damage}*: ${reason}.`);
    else rows.push([damage, ...commandNames.map((name) => shown(cellOf(kind, damage, name)))]);
  }
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  const about = [damageTable[kind].about, ...reasons].join(' ');
  const title = `${kind[0]?.toUpperCase()}${kind.slice(1)}`;
  return `### ${title}\n\n${about}\n\n${lines.join('\n')}\n`;
}

function shown(cell = ''): string {
  const verdict = verdictOf(cell);
  if (!errorCodes.includes(verdict as ErrorCode)) return verdict;
  const code = `[\`${verdict}\`](errors.md#${verdict}) ${exitCodeOf(verdict as ErrorCode)}`;
  return `${code}: ${remedyOf(cell)}`;
}
