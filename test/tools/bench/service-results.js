/** Turns what was measured with services into plain data: rows, gates and losses. */
import { ratioSpread, spread } from './measure.js';
import { serviceServers } from './service-servers.js';
import { serviceOperations, servicePeakBytesMax, serviceSection } from './services.js';

/** What one server gave: a row for each operation of each tool, and the gates of mstore. */
export function serviceResults(measures, name, tools) {
  const { title, scheme } = serviceServers[name];
  const section = serviceSection(name);
  const taking = tools.filter(({ schemes }) => schemes?.includes(scheme) ?? true);
  const bytes = measures.stored('services', 'v1', 'data');
  const rows = serviceOperations.flatMap((operation) =>
    operationRows(measures, { section, bytes, operation, tools: taking }),
  );
  return { server: name, title, rows };
}

function operationRows(measures, { section, bytes, operation, tools }) {
  const { id, about } = operation;
  const roundsOf = (tool) => measures.rounds(section, id, tool.name);
  const peers = tools.slice(1).filter((tool) => roundsOf(tool).some((time) => time !== undefined));
  const fastest = fastestRounds(peers.map(roundsOf));
  const gigabytes = bytes / 1e9;
  return [tools[0], ...peers].map((tool) => {
    const who = tool.name;
    const figure = (name) => spread(measures.rounds(section, id, who, name))?.median;
    const row = {
      id,
      about,
      who,
      seconds: measures.seconds(section, id, who),
      ofFastest: peers.length === 0 ? undefined : ratioSpread(roundsOf(tool), fastest),
      cpuSecondsPerGB: perGB(figure('cpuSeconds'), gigabytes),
      requests: figure('requests'),
      requestsPerGB: perGB(figure('requests'), gigabytes),
      sent: figure('sent'),
      received: figure('received'),
      peakBytes: measures.peak(section, id, who),
    };
    return who === 'mstore' ? { ...row, gates: gatesOf(operation, row, bytes) } : row;
  });
}

function perGB(figure, gigabytes) {
  return figure === undefined ? undefined : figure / gigabytes;
}

/** The shortest time of all peers in each round. */
function fastestRounds(rounds) {
  const length = Math.max(0, ...rounds.map((times) => times.length));
  return Array.from({ length }, (_, i) => {
    const times = rounds.map((one) => one[i]).filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  });
}

/** Gates whose figures are there; `met` tells whether they are kept. */
function gatesOf({ gates }, { ofFastest, received, peakBytes }, bytes) {
  const all = [
    { of: 'wall', most: gates.wall, found: ofFastest?.median },
    {
      of: 'faster',
      least: gates.faster,
      found: ofFastest === undefined ? undefined : 1 / ofFastest.median,
    },
    { of: 'receivedShare', most: gates.receivedShare, found: received / bytes },
    { of: 'peakBytes', most: servicePeakBytesMax, found: peakBytes },
  ];
  return all
    .filter(({ most, least, found }) => (most ?? least) !== undefined && Number.isFinite(found))
    .map((gate) => ({
      ...gate,
      met: gate.least === undefined ? gate.found <= gate.most : gate.found >= gate.least,
    }));
}

/** Gates that were missed, in words. */
export function missedServiceGates(services) {
  return services.flatMap(({ title, rows }) =>
    rows.flatMap(({ about, gates = [] }) =>
      gates
        .filter(({ met }) => !met)
        .map(
          (gate) => `${title}, ${about}: ${show(gate, gate.found)}, the gate is ${bound(gate)}.`,
        ),
    ),
  );
}

/** Operations in which a peer was ahead, in words. */
export function servicePeersAhead(services) {
  return services.flatMap(({ title, rows }) =>
    rows
      .filter(({ who, ofFastest }) => who === 'mstore' && ofFastest?.median > 1)
      .map(({ id, about, ofFastest: own }) => {
        const ahead = rows
          .filter((row) => row.id === id && row.who !== 'mstore' && row.ofFastest)
          .map(({ who, ofFastest }) => [who, ofFastest.median / own.median])
          .filter(([, part]) => part < 1)
          .map(([who, part]) => `${who} ${part.toFixed(2)}`);
        return `${title}, ${about}, in parts of the time of mstore: ${ahead.join(', ')}.`;
      }),
  );
}

function show({ of }, value) {
  const texts = {
    wall: () => `${value.toFixed(2)} times the time of the fastest peer`,
    faster: () => `${value.toFixed(1)} times as fast as the fastest peer`,
    receivedShare: () => `${(value * 100).toFixed(2)} % of the version read`,
    peakBytes: () => `${(value / 1e6).toFixed(0)} MB of memory`,
  };
  return texts[of]();
}

/** The bound of a gate, in words. */
export function bound(gate) {
  return `at ${gate.least === undefined ? 'most' : 'least'} ${show(gate, gate.least ?? gate.most)}`;
}
