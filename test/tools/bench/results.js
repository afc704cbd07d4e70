/** Turns what was measured into the document of results: rows, gates and losses, all as plain data. */
import { ratioSpread, spread, sumRounds } from './measure.js';
import { ownSections, peakBytesMax } from './sections.js';

/** The rows of mstore in a section, each with its floor and whether it meets its gates. */
export function mstoreRows(measures, section) {
  const { operations, storedGate } = ownSections[section];
  const rows = operations.map((operation) => operationRow(measures, section, operation));
  const stored = storedRow(measures, section, storedGate);
  return stored === undefined ? rows : [...rows, stored];
}

function operationRow(measures, section, { id, about, floors, plus, gates = {} }) {
  const own = measures.rounds(section, id, 'mstore');
  const base = measures.rounds(section, id, floors[0]);
  const floor =
    plus === undefined ? base : sumRounds(base, measures.rounds(section, plus, 'mstore'));
  const seconds = spread(own);
  const ratio = ratioSpread(own, floor);
  const peakBytes = measures.peak(section, id, 'mstore');
  const row = { section, id, about, seconds, ratio, peakBytes };
  const name = plus === undefined ? floors[0] : `${floors[0]} + checkout`;
  return {
    ...row,
    floor: name,
    floorSeconds: spread(floor),
    gates: [
      gate('ratio', gates.ratio, ratio.median),
      gate('seconds', gates.seconds, seconds.median),
    ].filter((one) => one !== undefined),
  };
}

function gate(of, most, found) {
  return most === undefined ? undefined : { of, most, found, met: found <= most };
}

/** What both versions take on disk, in units of the first version of the data. */
function storedRow(measures, section, most) {
  const second = measures.stored(section, 'v2', 'mstore');
  if (most === undefined || second === undefined) return undefined;
  const found = second / measures.stored(section, 'v1', 'data');
  const about = 'stored, both versions';
  return {
    section,
    id: 'stored',
    about,
    stored: found,
    gates: [gate('stored', most, found)],
  };
}

/** The peak of memory of all commands of mstore, as one row. */
export function peakRow(rows) {
  const peaks = rows.map((row) => row.peakBytes).filter((bytes) => bytes !== undefined);
  if (peaks.length === 0) return undefined;
  const peakBytes = Math.max(...peaks);
  const about = 'peak memory of any command';
  return { id: 'peak', about, peakBytes, gates: [gate('peakBytes', peakBytesMax, peakBytes)] };
}

/** What mstore and the peers did in a section, each operation and what they stored. */
export function peerTable(measures, section, tools) {
  const operations = ownSections[section].operations.filter(({ id }) => id !== 'again');
  return tools
    .filter((tool) => tool.name === 'mstore' || tool.version !== undefined)
    .map((tool) => ({
      who: tool.name,
      cells: Object.fromEntries(
        operations.map(({ id, faster }) => [id, peerCell(measures, section, id, tool, faster)]),
      ),
      stored: storedCell(measures, section, tool.name),
    }));
}

function peerCell(measures, section, id, { name }, faster = {}) {
  const theirs = measures.rounds(section, id, name);
  const seconds = spread(theirs);
  if (seconds === undefined) return undefined;
  const cell = { seconds, peakBytes: measures.peak(section, id, name) };
  if (name === 'mstore') return cell;
  const times = ratioSpread(theirs, measures.rounds(section, id, 'mstore'));
  const least = faster[name] ?? faster.all;
  const met = least === undefined ? undefined : times.median >= least;
  return { ...cell, times, gate: least === undefined ? undefined : { least, met } };
}

function storedCell(measures, section, name) {
  const data = measures.stored(section, 'v1', 'data');
  const [first, both] = ['v1', 'v2'].map((when) => measures.stored(section, when, name));
  if (first === undefined) return undefined;
  return { first: first / data, both: both === undefined ? undefined : both / data };
}

/** Gates that were missed, in words. */
export function missedGates({ rows, peers }) {
  const own = rows.flatMap((row) =>
    row.gates
      .filter(({ met }) => !met)
      .map(
        ({ of, most, found }) =>
          `${titleOf(row)}${row.about}: ${show(of, found)} ${wordOf(of)}, the gate is ${show(of, most)}.`,
      ),
  );
  const others = peerCells(peers)
    .filter(({ cell }) => cell.gate?.met === false)
    .map(
      ({ section, who, about, cell }) =>
        `${ownSections[section].title}, ${about}: ${cell.times.median.toFixed(2)} times as fast as ${who}, the gate is ${cell.gate.least}.`,
    );
  return [...own, ...others];
}

/** Everything in which a peer was ahead, in words: one sentence for each operation. */
export function peersAhead({ peers, unverified }) {
  const byOperation = new Map();
  for (const { section, who, id, about, cell } of peerCells(peers)) {
    if (cell.times === undefined || cell.times.median >= 1) continue;
    const title = `${ownSections[section].title}, ${about}`;
    const note = id === 'restore' && unverified.includes(who) ? ' (without verifying)' : '';
    const part = `${who} ${cell.times.median.toFixed(2)}${note}`;
    byOperation.set(title, [...(byOperation.get(title) ?? []), part]);
  }
  const slower = [...byOperation].map(
    ([title, parts]) => `${title}, in parts of the time of mstore: ${parts.join(', ')}.`,
  );
  return [...slower, ...storedLosses(peers)];
}

/** Half a thousandth is the bookkeeping of a small store, and not counted. */
const storedSlack = 0.0005;

function storedLosses(peers) {
  return Object.entries(peers).flatMap(([section, table]) => {
    const own = table.find(({ who }) => who === 'mstore')?.stored;
    return ['first', 'both'].flatMap((when) => {
      const ahead = table.filter(({ stored }) => stored?.[when] < own?.[when] - storedSlack);
      if (ahead.length === 0) return [];
      const what = when === 'first' ? 'the first version' : 'both versions';
      const figures = ahead.map(({ who, stored }) => `${who} ${stored[when].toFixed(3)}`);
      const title = `${ownSections[section].title}, stored for ${what}`;
      return [`${title}: mstore ${own[when].toFixed(3)}, ${figures.join(', ')}.`];
    });
  });
}

function peerCells(peers) {
  return Object.entries(peers).flatMap(([section, table]) =>
    table.flatMap(({ who, cells }) =>
      Object.entries(cells)
        .filter(([, cell]) => cell !== undefined)
        .map(([id, cell]) => {
          const { about } = ownSections[section].operations.find((one) => one.id === id);
          return { section, who, id, about, cell };
        }),
    ),
  );
}

function titleOf({ section }) {
  return section === undefined ? '' : `${ownSections[section].title}, `;
}

function show(of, value) {
  return of === 'peakBytes' ? (value / 1e6).toFixed(0) : String(Number(value.toFixed(3)));
}

function wordOf(of) {
  const words = { ratio: 'times its floor', seconds: 's', peakBytes: 'MB' };
  return words[of] ?? 'of the first version';
}
