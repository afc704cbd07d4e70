/** Writes what was measured with services as its part of the page. */
import { spreadText, table } from './markdown-parts.js';
import { bound } from './service-results.js';

const head = [
  ...['operation', 'tool', 'seconds', 'of the fastest peer', 'CPU seconds for each GB'],
  ...['requests', 'requests for each GB', 'sent, MB', 'received, MB', 'memory, MB', 'gates'],
];

/** The part of the page. */
export function servicesMarkdown(services) {
  if (services.length === 0) return [];
  return [
    '## Services',
    '',
    'A model of the size of the large file and a file of 4 KiB beside it, sent to servers on this machine and brought back.',
    'Times are of rounds in which all tools took turns; the ratio is to the fastest peer of each round. Processor time is',
    'that of the client alone; a GB is of the version, whatever of it was sent. Requests and bytes were counted in one more',
    'round, by a proxy. For its second version mstore sends what changed, and the peers whole files.',
    '',
    ...services.flatMap(({ title, rows }) => [
      `### ${title}`,
      '',
      ...table(head, rows.map(cellsOf)),
    ]),
  ];
}

function cellsOf(row) {
  const { about, who, seconds, ofFastest, cpuSecondsPerGB, requests, requestsPerGB, gates } = row;
  return [
    about,
    who,
    spreadText(seconds),
    ofFastest === undefined ? '' : spreadText(ofFastest),
    cpuSecondsPerGB?.toFixed(2) ?? '',
    requests ?? '',
    requestsPerGB?.toFixed(0) ?? '',
    megabytes(row.sent),
    megabytes(row.received),
    row.peakBytes === undefined ? '' : (row.peakBytes / 1e6).toFixed(0),
    (gates ?? []).map((gate) => `${bound(gate)}: ${gate.met ? 'met' : '**missed**'}`).join('; '),
  ];
}

function megabytes(bytes) {
  return bytes === undefined ? '' : (bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 0);
}
