/** Writes the document of results as the page `docs/benchmarks.md`. */
import { floorsAbout } from './floors.js';
import { spreadText, table } from './markdown-parts.js';
import { ownSections } from './sections.js';
import { servicesMarkdown } from './service-markdown.js';

/** The whole page. */
export function markdown(document) {
  return [
    ...introduction(document),
    ...lossesPart(document),
    ...mstorePart(document),
    ...floorsPart(document),
    ...peersPart(document),
    ...servicesMarkdown(document.services),
    ...settingsPart(document),
    ...document.extras.flatMap(extraPart),
  ]
    .join('\n')
    .replace(/\n+$/, '\n');
}

function introduction({ command, date, dates = {}, machine, versions, options, slow }) {
  const { sizeMiB, fileCount, runs, peerRuns } = options;
  return [
    '# Benchmarks',
    '',
    `Written by \`${command}\` on ${date}; the same numbers are in a JSON file beside this page. How it is`,
    'measured is said in [testing](testing.md#the-bench).',
    ...earlierParts(date, dates),
    '',
    `- **Machine**: ${machine.cpus} x ${machine.model}, ${machine.memoryGB} GB, ${machine.system}, ${machine.fileSystem}.`,
    `- **Versions**: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version ?? '(not installed)'}`)
      .join(', ')}.`,
    `- **Data**: a file of ${sizeMiB} MiB of random bytes, its second version with 1 KiB inserted at the head and 1 %`,
    `  overwritten in regions of 1 MiB; a tree of ${fileCount} random files of 4 KiB; the real weights of an OCR model.`,
    `- **Numbers** are medians of ${runs} rounds for mstore and its floors, of ${peerRuns} for the peers, with [smallest-largest].`,
    '  A ratio is the median of the ratios of the rounds, in which both sides were measured next to each other.',
    ...slow.map(
      ({ section, who, seconds }) =>
        `  The times of ${who} for ${titleOf(section)} are of one round, which took ${seconds.toFixed(0)} s.`,
    ),
    '',
  ];
}

/** The parts that were measured on other days. */
function earlierParts(date, dates) {
  const earlier = Object.entries(dates).filter(([, day]) => day !== date);
  return [...new Set(earlier.map(([, day]) => day))].map((day) => {
    const parts = earlier.filter(([, one]) => one === day).map(([part]) => titleOf(part));
    return `Of ${day} are: ${parts.join(', ')}.`;
  });
}

function titleOf(section) {
  return ownSections[section]?.title.toLowerCase() ?? section;
}

function lossesPart({ gatesMissed, peersAhead, failures, notMeasured }) {
  const list = (items) => (items.length === 0 ? ['None.'] : items.map((item) => `- ${item}`));
  return [
    '## Losses',
    '',
    'Gates that were missed:',
    '',
    ...list(gatesMissed),
    '',
    'Where a peer is ahead of mstore:',
    '',
    ...list(peersAhead),
    '',
    ...(failures.length === 0
      ? []
      : [
          'What peers failed to do:',
          '',
          ...list(
            failures.map(
              ({ section, who, operation, why }) =>
                `${who}, ${section}, ${operation}: ${printable(why)}`,
            ),
          ),
          '',
        ]),
    ...(notMeasured.length === 0 ? [] : [`Not in this run: ${notMeasured.join(', ')}.`, '']),
  ];
}

function printable(text) {
  return text.replace(/[|`<>[\]]/g, ' ').replace(/\/\S+\//g, '…/');
}

function mstorePart({ rows }) {
  if (rows.length === 0) return [];
  const parts = Object.entries(ownSections).flatMap(([section, { title }]) =>
    mstoreTable(
      title,
      rows.filter((row) => row.section === section),
    ),
  );
  const peak = rows.filter((row) => row.section === undefined);
  return [
    '## mstore beside its floors',
    '',
    ...parts,
    ...peak.map(
      (row) => `Peak memory of any command: ${megabytes(row)} MB; ${gatesText(row.gates)}.`,
    ),
    ...(peak.length === 0 ? [] : ['']),
  ];
}

function mstoreTable(title, rows) {
  if (rows.length === 0) return [];
  const head = [
    'path',
    'seconds',
    'ratio to the floor',
    'floor, seconds',
    'gate',
    'peak memory, MB',
  ];
  const cells = rows.map((row) =>
    row.seconds === undefined
      ? [row.about, '', row.stored.toFixed(3), 'first version', gatesText(row.gates), '']
      : [
          row.about,
          spreadText(row.seconds),
          spreadText(row.ratio),
          `${row.floor}, ${spreadText(row.floorSeconds)}`,
          gatesText(row.gates),
          megabytes(row),
        ],
  );
  return [`### ${title}`, '', ...table(head, cells)];
}

function gatesText(gates) {
  return gates
    .map(({ of, most, met }) => {
      const unit = { seconds: ' s', peakBytes: ' MB' }[of] ?? '';
      const value = of === 'peakBytes' ? most / 1e6 : most;
      return `at most ${value}${unit}: ${met ? 'met' : '**missed**'}`;
    })
    .join('; ');
}

function megabytes({ peakBytes }) {
  return peakBytes === undefined ? '' : (peakBytes / 1e6).toFixed(0);
}

/** What the floors are; those that no row is compared with are shown with their times. */
function floorsPart({ floors, rows }) {
  const shown = [...new Set(floors.map(({ name }) => name))];
  if (shown.length === 0) return [];
  const compared = new Set(rows.map(({ floor }) => floor));
  const lines = shown.map((name) => {
    const { seconds: times, ratio } = floors.find((floor) => floor.name === name);
    return [
      name,
      floorsAbout[name],
      ...[times, ratio].map((one) =>
        compared.has(name) || one === undefined ? '' : spreadText(one),
      ),
    ];
  });
  return [
    '### Floors',
    '',
    ...table(['floor', 'what', 'seconds', 'mstore beside it'], lines),
    'What is compared is whole processes on a warm cache. `cp` leaves what it wrote in memory; mstore does not end',
    'before its bytes are on the disk. A pull is a copy and a checkout, so its floor is both.',
    '',
  ];
}

function peersPart({ peers }) {
  const parts = Object.entries(peers)
    .filter(([, tools]) => tools.length > 1)
    .flatMap(([section, tools]) => peersTable(section, tools));
  if (parts.length === 0) return [];
  return [
    '## mstore beside its peers',
    '',
    'Seconds, then how many times faster mstore is: below 1 the peer is faster. Where a gate stands, mstore must be',
    'at least as many times faster.',
    '',
    ...parts,
  ];
}

function peersTable(section, tools) {
  const { title, operations } = ownSections[section];
  const shown = operations.filter(({ id }) => tools.some(({ cells }) => cells[id] !== undefined));
  const stored = tools.some((tool) => tool.stored !== undefined) && section !== 'start';
  const both = tools.some((tool) => tool.stored?.both !== undefined);
  const head = [
    'tool',
    ...shown.map(({ about }) => about.replace(', verified', '')),
    ...(stored ? ['stored'] : []),
    ...(stored && both ? ['stored, both'] : []),
    'memory, MB',
  ];
  const rows = tools.map((tool) => [
    tool.who,
    ...shown.map(({ id }) => peerCellText(tool.cells[id])),
    ...(stored ? [tool.stored?.first.toFixed(3) ?? ''] : []),
    ...(stored && both ? [tool.stored?.both?.toFixed(3) ?? ''] : []),
    peakText(tool.cells),
  ]);
  return [`### ${title}: peers`, '', ...table(head, rows)];
}

function peerCellText(cell) {
  if (cell === undefined) return '-';
  if (cell.times === undefined) return spreadText(cell.seconds);
  const gate =
    cell.gate === undefined
      ? ''
      : `, at least ${cell.gate.least}: ${cell.gate.met ? 'met' : '**missed**'}`;
  return `${spreadText(cell.seconds)}; ${spreadText(cell.times)} x${gate}`;
}

function peakText(cells) {
  const peaks = Object.values(cells)
    .map((cell) => cell?.peakBytes)
    .filter((bytes) => bytes !== undefined);
  return peaks.length === 0 ? '' : (Math.max(...peaks) / 1e6).toFixed(0);
}

function settingsPart({ settings, rows, services }) {
  const tried = settings.some(({ damage }) => damage !== undefined);
  if (rows.length === 0 && services.length === 0 && !tried) return [];
  const head = [
    'tool',
    'settings',
    ...(tried ? ['asked for data that is damaged in its store'] : []),
  ];
  return [
    '## Settings of the tools',
    '',
    ...table(
      head,
      settings.map(({ who, about, damage }) => [who, about, ...(tried ? [damage ?? ''] : [])]),
    ),
    'A cell with `-` in the tables of peers is a step that the tool does not have: restic, borg and casync write to',
    'the repository that others read, without a step of sending, and hf_xet keeps no work tree.',
    ...(tried
      ? [
          'For the last column, four bytes of the store were changed before the data was asked back: a tool that gives',
          'them out as if they were right does not do the work that a verified checkout does.',
        ]
      : []),
    '',
  ];
}

function extraPart({ title, text, problem }) {
  return [`## ${title}`, '', text ?? `Not measured: ${printable(problem)}.`, ''];
}
