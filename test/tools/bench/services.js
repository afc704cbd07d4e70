/**
 * The section of services: a model of the size of the large file goes to a server on the loopback and
 * comes back, by mstore and by tools that copy files.
 *
 * Rounds are timed; one more goes by a proxy that counts requests and bytes. The server of each round is new.
 */
import { bytesBelow, makeModel, remove } from './data.js';
import { Rounds } from './rounds.js';
import { ServiceCounter } from './service-counter.js';
import { builtProgram, serviceServers } from './service-servers.js';
import { modelFiles } from './service-tools.js';

/**
 * What is done. Gates: `wall` is the most in units of the time of the fastest peer, `faster` how many
 * times faster than it mstore must be at least, `receivedShare` the most of the version that may be read.
 */
export const serviceOperations = [
  { id: 'push1', verb: 'push', version: 1, about: 'push, first version', gates: { wall: 1.1 } },
  {
    id: 'push2',
    verb: 'push',
    version: 2,
    about: 'push, 1 % edited',
    gates: { faster: 10 },
  },
  { id: 'pull', verb: 'pull', version: 2, about: 'pull', gates: {} },
  {
    id: 'one',
    verb: 'one',
    version: 2,
    about: 'pull of one small file',
    gates: { receivedShare: 0.01 },
  },
].map((operation) => ({ floors: [], ...operation }));

/** No command may use more memory than this with a service. */
export const servicePeakBytesMax = 300e6;

/** Which of the servers are here, and in words which are not. */
export async function findServers(names) {
  const all = await Promise.all(
    names.map(async (name) => ({ name, built: await isBuilt(serviceServers[name]) })),
  );
  return {
    here: all.filter(({ built }) => built).map(({ name }) => name),
    missing: all.filter(({ built }) => !built).map(({ name }) => `${name} (not built)`),
  };
}

async function isBuilt({ program }) {
  return program === undefined || (await builtProgram(await program())) !== undefined;
}

/** The section by which what is measured with a server is kept. */
export function serviceSection(name) {
  return `services, ${name}`;
}

/** Measures with each server; returns the failures and the slow ones of all rounds. */
export async function measureServices(servers, { place, sizeMiB, measures, tools, log, ...how }) {
  log('services: making data');
  const data = makeModel(`${place}/data-services`, sizeMiB, modelFiles);
  measures.store('services', 'v1', 'data', bytesBelow(`${data.place}/v1`));
  const counter = await ServiceCounter.start();
  const all = { failures: [], slow: [] };
  try {
    for (const name of servers) {
      const server = serviceServers[name];
      const taking = tools.filter(({ schemes }) => schemes?.includes(server.scheme) ?? true);
      const rounds = new Rounds({ place, measures, tools: taking, log, ...how });
      await measureServer(name, server, { rounds, data, counter, log });
      all.failures.push(...rounds.failures);
      all.slow.push(...rounds.slow);
    }
  } finally {
    await counter.end();
    remove(data.place);
  }
  return all;
}

async function measureServer(name, server, { rounds, data, counter, log }) {
  const section = serviceSection(name);
  for (let round = 0; round <= rounds.runs; round++) {
    const counts = round === rounds.runs;
    log(`${section}: ${counts ? 'counting' : `round ${round + 1} of ${rounds.runs}`}`);
    const { end, ...target } = await server.start(counts ? counter.endpoint : undefined);
    try {
      if (counts) await counter.passTo(target.endpoint);
      const { endpoint } = counts ? counter : target;
      rounds.target = { ...target, scheme: server.scheme, endpoint };
      rounds.counter = counts ? counter : undefined;
      rounds.measureRound(section, serviceOperations, data, round);
    } finally {
      await end();
    }
  }
}
