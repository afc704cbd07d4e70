#!/usr/bin/env node
/**
 * Measures mstore, its floors and its peers in turns and prints a table of ratios: single times say
 * little on a machine that others use, ratios of rounds that take turns say much.
 *
 *   npm run bench                              everything
 *   npm run bench -- --size 256 --runs 1       a quick look
 *   npm run bench -- --only large --peers borg one part
 *
 *   --size MiB      the large file (default 2048)
 *   --files N       files of the tree (default 10000)
 *   --runs N        rounds of mstore and its floors (default 5)
 *   --peer-runs N   rounds of the peers (default 3, never more than of mstore)
 *   --peer-seconds N  a peer whose round of a part takes longer takes part once (default 180)
 *   --only A,B      of: large, many, weights, start, damage, edits, compression, encryption,
 *                   signatures, index, services
 *   --servers A,B   of the section of services: versitygw, minio, fake-gcs-server, test
 *   --peers A,B     these peers only; --no-peers: none
 *   --venv FOLDER   where the peers in Python are (default: where bench:peers puts them)
 *   --write FILE    the page; the same as JSON beside it
 *   --update FILE   the same, with the parts that were not measured as the page has them
 *   --json          JSON instead of Markdown on standard output
 *   --gates         exit code 1 where a gate is missed
 *
 * MSTORE_BENCH_DIR is where the scratch data goes; it needs about 25 times the size of the large file. The
 * section of services takes part with those servers that "bench:peers" has built, and keeps what is sent to
 * them in the temporary folder of the system.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { damageAbout, tryDamage } from './damage.js';
import {
  bytesBelow,
  makeLarge,
  makeMany,
  makeSmall,
  makeWeights,
  moveRemoved,
  remove,
} from './data.js';
import { mebibyte, venvDefault } from './environment.js';
import { extraNames, measureExtra } from './extras.js';
import { markdown } from './markdown.js';
import { Measures, ratioSpread, spread } from './measure.js';
import { mstore } from './mstore.js';
import { findPeers } from './peers.js';
import { missedGates, mstoreRows, peakRow, peersAhead, peerTable } from './results.js';
import { Rounds } from './rounds.js';
import { ownSections } from './sections.js';
import { missedServiceGates, servicePeersAhead, serviceResults } from './service-results.js';
import { serviceServers, usualServers } from './service-servers.js';
import { serviceMstore } from './service-tools.js';
import { findServers, measureServices } from './services.js';
import { checkComparable, updated } from './update.js';

const partNames = [...Object.keys(ownSections), 'damage', ...extraNames, 'services'];

function readOptions() {
  const { values } = parseArgs({
    options: {
      size: { type: 'string', default: '2048' },
      files: { type: 'string', default: '10000' },
      runs: { type: 'string', default: '5' },
      'peer-runs': { type: 'string', default: '3' },
      'peer-seconds': { type: 'string', default: '180' },
      only: { type: 'string' },
      peers: { type: 'string' },
      'no-peers': { type: 'boolean', default: false },
      servers: { type: 'string', default: usualServers.join(',') },
      venv: { type: 'string', default: venvDefault },
      write: { type: 'string' },
      update: { type: 'string' },
      json: { type: 'boolean', default: false },
      gates: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage());
    process.exit(0);
  }
  const parts = values.only?.split(',') ?? partNames;
  const unknown = parts.filter((name) => !partNames.includes(name));
  if (unknown.length > 0) throw new Error(`Not a part: ${unknown.join(', ')}`);
  const servers = values.servers.split(',');
  const foreign = servers.filter((name) => serviceServers[name] === undefined);
  if (foreign.length > 0) throw new Error(`Not a server: ${foreign.join(', ')}`);
  const runs = positive(values.runs, 'runs');
  return {
    sizeMiB: positive(values.size, 'size'),
    fileCount: positive(values.files, 'files'),
    runs,
    peerRuns: Math.min(runs, positive(values['peer-runs'], 'peer-runs')),
    peerSeconds: positive(values['peer-seconds'], 'peer-seconds'),
    parts: partNames.filter((name) => parts.includes(name)),
    peers: values['no-peers'] ? [] : values.peers?.split(','),
    servers,
    venv: path.resolve(values.venv),
    write: values.update ?? values.write,
    isUpdate: values.update !== undefined,
    json: values.json,
    gates: values.gates,
  };
}

/** The comment at the top of this file, which lists the options. */
function usage() {
  const [, comment = ''] =
    /^\/\*\*\n(.*?)\n \*\//ms.exec(fs.readFileSync(import.meta.filename, 'utf8')) ?? [];
  return `${comment.replaceAll(/^ \* ?/gm, '')}\n`;
}

function positive(text, name) {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} is a whole number`);
  return value;
}

function log(text) {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
}

const makers = {
  large: (place, { sizeMiB }) => makeLarge(place, sizeMiB),
  many: (place, { fileCount }) => makeMany(place, fileCount),
  weights: makeWeights,
  start: makeSmall,
};

const damageMiB = 8;

/** Versions, stores, remotes and clones of all tools at once, in units of the large file. */
const spaceFactor = { withPeers: 25, alone: 9, services: 16 };

/** Says now that the disk is too small, not after half of the rounds. */
function checkSpace(place, { sizeMiB, parts }, toolCount) {
  const large = parts.includes('large');
  if (!large && !parts.includes('services')) return;
  const { bavail, bsize } = fs.statfsSync(place);
  const own = toolCount > 1 ? spaceFactor.withPeers : spaceFactor.alone;
  const factor = large ? own : spaceFactor.services;
  const needed = sizeMiB * mebibyte * factor;
  if (bavail * bsize < needed)
    throw new Error(`The bench needs ${Math.ceil(needed / 1e9)} GB free below ${place}`);
}

/** Measures one part; its data is removed after it. */
function measureSection(section, rounds, measures, place, options) {
  log(`${section}: making data`);
  const data = makers[section](path.join(place, `data-${section}`), options);
  const first = path.join(data.place, 'v1', data.entry);
  measures.store(section, 'v1', 'data', bytesBelow(first));
  const { operations } = ownSections[section];
  // Large files are removed at once, since they would fill the disk.
  if (section !== 'large') moveRemoved(path.join(place, 'removed'));
  if (section === 'start') rounds.measureStart(section, operations, data);
  else rounds.measure(section, operations, data);
  moveRemoved(undefined);
  remove(data.place);
}

/** Damages a small store of each tool. */
function measureDamage(tools, measures, place) {
  log('damage');
  const data = makeLarge(path.join(place, 'data-damage'), damageMiB);
  const outcomes = tools.map((tool) => [
    tool.name,
    damageAbout[tryDamage(tool, { place, data, measures })],
  ]);
  remove(data.place);
  return Object.fromEntries(outcomes);
}

/** Measures with each server that is here. What peers failed to do is kept with that of other sections. */
async function measureAllServices({ options, place, measures, servicePeers, rounds }) {
  const { here, missing } = await findServers(options.servers);
  for (const server of missing) log(`services: ${server}; npm run bench:peers builds it`);
  const tools = [serviceMstore, ...servicePeers];
  if (here.length === 0) return { rows: [], missing, tools };
  const { sizeMiB, peerRuns, peerSeconds } = options;
  const taking = tools.filter((tool, i) => i === 0 || tool.version !== undefined);
  const { failures, slow } = await measureServices(here, {
    ...{ place, sizeMiB, measures, log, peerSeconds },
    tools: taking,
    runs: peerRuns,
    // All of them in each round, also in the one that is counted.
    peerRuns: Number.POSITIVE_INFINITY,
  });
  rounds.failures.push(...failures);
  rounds.slow.push(...slow);
  return { rows: here.map((name) => serviceResults(measures, name, taking)), missing, tools };
}

function machine(place) {
  return {
    cpus: os.cpus().length,
    model: os.cpus()[0]?.model ?? 'unknown',
    memoryGB: Math.round(os.totalmem() / 1e9),
    system: `${os.type()} ${os.release()}`,
    fileSystem: fileSystemOf(place),
  };
}

function fileSystemOf(place) {
  try {
    return execFileSync('df', ['--output=fstype', place], { encoding: 'utf8' }).split('\n')[1];
  } catch {
    return 'unknown file system';
  }
}

/** The first line of what a program says; undefined where it is not there. */
function said(command, args) {
  try {
    return execFileSync(command, args, { encoding: 'utf8' }).split('\n')[0].trim();
  } catch {
    return undefined;
  }
}

function versionsOf(peers) {
  return {
    mstore: said(process.execPath, [...mstore.versionCommand()[1]]),
    Node: process.version.slice(1),
    OpenSSL: said('openssl', ['version'])?.split(' ')[1],
    Git: said('git', ['--version'])?.split(' ').at(-1),
    ...Object.fromEntries(peers.map(({ name, version }) => [name, version])),
  };
}

/** The JSON beside a page. */
function dataFileOf(page) {
  return page.replace(/(\.md)?$/, '.json');
}

/** What the page of an update says, which has to be of a run of the same kind. */
function readEarlier({ isUpdate, write, ...options }, others, place) {
  if (!isUpdate) return undefined;
  const earlier = JSON.parse(fs.readFileSync(dataFileOf(write)));
  checkComparable(earlier, kindOf(options, others, place));
  return earlier;
}

/** On what, with what and how much is measured. */
function kindOf({ sizeMiB, fileCount, runs, peerRuns, parts }, others, place) {
  return {
    machine: machine(place),
    versions: versionsOf(others),
    options: { sizeMiB, fileCount, runs, peerRuns, parts },
  };
}

/** Floors with their times, each once for every operation that it was measured beside. */
function floorRows(measures, sections) {
  return sections.flatMap((section) =>
    ownSections[section].operations.flatMap(({ id, about, floors }) =>
      floors.map((name) => {
        const rounds = measures.rounds(section, id, name);
        const ratio = ratioSpread(measures.rounds(section, id, 'mstore'), rounds);
        return { name, section, id, about, seconds: spread(rounds), ratio };
      }),
    ),
  );
}

function makeDocument({ options, measures, tools, rounds, damage, extras, services, place }) {
  const sections = options.parts.filter((part) => ownSections[part] !== undefined);
  const own = sections.flatMap((section) => mstoreRows(measures, section));
  const rows = [...own, peakRow(own)].filter((row) => row !== undefined);
  const tables = sections.map((section) => [section, peerTable(measures, section, tools)]);
  const unverified = Object.keys(damage ?? {}).filter(
    (name) => damage[name] === damageAbout.delivered,
  );
  const results = { rows, peers: Object.fromEntries(tables), unverified };
  const { parts } = options;
  const serviceTools = services.tools.filter((tool) => tool !== serviceMstore);
  const others = [...tools.slice(1), ...serviceTools];
  const missing = others.filter(({ version }) => version === undefined);
  return {
    command: 'npm run bench',
    date: new Date().toISOString().slice(0, 10),
    ...kindOf(options, others, place),
    ...results,
    floors: floorRows(measures, sections),
    settings: [
      ...tools.map(({ name, settings }) => ({
        who: name,
        about: settings,
        damage: damage?.[name],
      })),
      ...services.tools.map(({ name, settings }) => ({
        who: `${name}, with services`,
        about: settings,
      })),
    ],
    gatesMissed: [...missedGates(results), ...missedServiceGates(services.rows)],
    peersAhead: [...peersAhead(results), ...servicePeersAhead(services.rows)],
    services: services.rows,
    failures: rounds.failures,
    slow: rounds.slow,
    notMeasured: [
      ...missing.map(({ name }) => `${name} (not installed)`),
      ...services.missing,
      ...partNames.filter((name) => !parts.includes(name)),
    ],
    extras,
  };
}

async function bench() {
  const options = readOptions();
  const place = fs.mkdtempSync(
    path.join(process.env.MSTORE_BENCH_DIR ?? os.tmpdir(), 'mstore-bench-'),
  );
  try {
    const { peers, servicePeers } = findPeers(options.venv, options.peers);
    const tools = [mstore, ...peers];
    const measures = new Measures();
    const present = tools.filter((tool, i) => i === 0 || tool.version !== undefined);
    checkSpace(place, options, present.length);
    const earlier = readEarlier(options, peers, place);
    const { runs, peerRuns, peerSeconds } = options;
    const rounds = new Rounds({
      place,
      measures,
      tools: present,
      runs,
      peerRuns,
      peerSeconds,
      log,
    });
    const extras = [];
    let damage;
    let services = { rows: [], missing: [], tools: [] };
    for (const part of options.parts) {
      if (part === 'services')
        services = await measureAllServices({ options, place, measures, servicePeers, rounds });
      else if (part === 'damage') damage = measureDamage(present, measures, place);
      else if (ownSections[part] !== undefined)
        measureSection(part, rounds, measures, place, options);
      else {
        log(part);
        const scratch = path.join(place, part);
        fs.mkdirSync(scratch);
        extras.push(await measureExtra(part, scratch, options));
        remove(scratch);
      }
    }
    const found = { options, measures, tools, rounds, damage, extras, services, place };
    report(makeDocument(found), earlier, options);
  } finally {
    remove(place);
  }
}

function report(measured, earlier, { write, json, gates }) {
  const document = earlier === undefined ? measured : updated(earlier, measured);
  const page = markdown(document);
  const data = `${JSON.stringify(document, null, 2)}\n`;
  process.stdout.write(json ? data : page);
  if (write !== undefined) {
    fs.writeFileSync(write, page);
    fs.writeFileSync(dataFileOf(write), data);
  }
  if (gates && document.gatesMissed.length > 0) process.exitCode = 1;
}

await bench();
