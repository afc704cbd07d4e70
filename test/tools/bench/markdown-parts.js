/** Parts of pages: tables, and numbers with their spread. */

function line(...cells) {
  return `| ${cells.join(' | ')} |`;
}

export function table(head, rows) {
  return [
    line(...head),
    line(...head.map(() => '---')),
    ...rows.map((cells) => line(...cells)),
    '',
  ];
}

/** Three digits that count, so that short times say something as well. */
function digits(value) {
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value >= 0.1 ? value.toFixed(2) : value.toFixed(3);
}

/** A median, with the smallest and the largest where there are several. */
export function spreadText({ median, min, max, count }) {
  return count === 1 ? digits(median) : `${digits(median)} [${digits(min)}-${digits(max)}]`;
}
