/** Puts what was measured into the document of an earlier run, in place of the same sections there. */
import { missedGates, peakRow, peersAhead } from './results.js';

/** Throws where two runs are not of one kind: another machine, other tools or other sizes. */
export function checkComparable(earlier, later) {
  for (const name of ['machine', 'options', 'versions']) {
    const [before, now] = [earlier, later].map((one) => comparable(name, one[name]));
    if (before !== now)
      throw new Error(`The earlier run had other ${name}: ${before}, and now ${now}`);
  }
}

/** The document of two runs of one kind. What is not in the later one stays as it was, with its date. */
export function updated(earlier, document) {
  const { parts } = document.options;
  const isNew = ({ section, id }) => parts.includes(section ?? id);
  const merge = (name) => [
    ...earlier[name].filter((one) => !isNew(one)),
    ...document[name].filter(isNew),
  ];
  const rows = merge('rows').filter(({ id }) => id !== 'peak');
  const { unverified, settings } = parts.includes('damage') ? document : earlier;
  const results = {
    rows: [...rows, peakRow(rows)].filter((row) => row !== undefined),
    peers: { ...earlier.peers, ...document.peers },
    unverified,
  };
  const all = [...new Set([...earlier.options.parts, ...parts])];
  return {
    ...document,
    ...results,
    options: { ...document.options, parts: all },
    dates: { ...datesOf(earlier), ...datesOf(document) },
    floors: merge('floors'),
    settings,
    gatesMissed: missedGates(results),
    peersAhead: peersAhead(results),
    failures: merge('failures'),
    slow: merge('slow'),
    notMeasured: earlier.notMeasured.filter((name) => !parts.includes(name)),
    extras: merge('extras'),
  };
}

function datesOf({ dates, date, options }) {
  return dates ?? Object.fromEntries(options.parts.map((part) => [part, date]));
}

/** What must be the same in both runs: not which parts they have, not their mstore, not who built the same kernel. */
function comparable(name, value) {
  const { parts: _, ...rest } = value;
  const { mstore: __, ...others } = rest;
  if (name === 'versions') return JSON.stringify(others);
  const system = value.system?.replace(/^(\S+ [\d.]+).*$/, '$1');
  return JSON.stringify(system === undefined ? rest : { ...rest, system });
}
