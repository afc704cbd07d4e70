import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { installDebian } from './debian.ts';
import { readyTarget } from './s3-servers.ts';
import { type S3Target, testCredentials } from './s3-target.ts';
import { endServers, startServerProcess } from './server-process.ts';

const programMsMax = 60_000;

function run(program: string, args: readonly string[]): Promise<unknown> {
  return promisify(execFile)(program, args, { timeout: programMsMax });
}

/**
 * Starts the gateway of Ceph in front of the smallest cluster there is: one monitor, and one keeper of
 * objects, in memory, that makes no copies. It is up in a second or two. The packages of Debian are
 * installed where they are missing.
 */
export async function startRadosGateway(): Promise<S3Target> {
  await installDebian('radosgw', 'radosgw', 'ceph-mon', 'ceph-osd');
  try {
    return await startCluster();
  } catch (error) {
    // Tests that do not begin have no end, which would end what is running by now.
    await endServers();
    throw error;
  }
}

async function startCluster(): Promise<S3Target> {
  const cluster = await startMonitor();
  await startObjectKeeper(cluster);
  // Waits for the monitor and the keeper, and makes its pools.
  const { port } = await startServerProcess(({ folder, port }) => {
    const frontend = `beast endpoint=127.0.0.1:${port}`;
    const own = {
      'rgw-data': folder,
      'rgw-frontends': frontend,
      // A region that it does not know, as that of the tests, is no reason to refuse a bucket.
      'rgw-relaxed-region-enforcement': 'true',
    };
    return { program: 'radosgw', args: [...cluster, ...options(own), '--foreground'] };
  });
  const { accessKeyId, secretAccessKey } = testCredentials;
  const user = {
    uid: 'test',
    'display-name': 'test',
    'access-key': accessKeyId,
    'secret-key': secretAccessKey,
  };
  await run('radosgw-admin', [...cluster, 'user', 'create', ...options(user)]);
  return readyTarget('radosgw', port);
}

function options(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).map(([name, value]) => `--${name}=${value}`);
}

/** Starts a monitor, and returns what every program of its cluster must be told. */
async function startMonitor(): Promise<string[]> {
  let cluster: string[] = [];
  await startServerProcess(async ({ folder, port }) => {
    cluster = ['--conf', '/dev/null', ...options(clusterOptions(port))];
    const map = `${folder}/map`;
    const monitor = [...cluster, '--id=a', `--mon-data=${folder}/data`];
    await run('monmaptool', ['--create', '--addv', 'a', `[v2:127.0.0.1:${port}]`, map]);
    await run('ceph-mon', [...monitor, '--mkfs', `--monmap=${map}`]);
    return { program: 'ceph-mon', args: [...monitor, '--foreground'], up: 'takes connections' };
  });
  return cluster;
}

/** A cluster of one, on the loopback, that asks nobody who he is and keeps each object once. */
function clusterOptions(port: number): Record<string, string> {
  return {
    fsid: randomUUID(),
    'mon-host': `v2:127.0.0.1:${port}`,
    'public-addr': '127.0.0.1',
    'auth-cluster-required': 'none',
    'auth-service-required': 'none',
    'auth-client-required': 'none',
    // The gateway wants an encrypted connection to the monitor, which there is none of without keys.
    'ms-mon-client-mode': 'crc',
    'mon-allow-pool-size-one': 'true',
    'osd-pool-default-size': '1',
    'osd-pool-default-min-size': '1',
    'osd-pool-default-pg-num': '4',
    'osd-pool-default-pg-autoscale-mode': 'off',
    'osd-crush-chooseleaf-type': '0',
    'osd-objectstore': 'memstore',
    'memstore-device-bytes': `${8 * 1024 ** 3}`,
    // Each of the pools that the gateway makes would wait for a second.
    'paxos-propose-interval': '0.02',
    // The disk has nothing to do with it.
    'mon-data-avail-crit': '0',
    'mon-data-avail-warn': '0',
    'admin-socket': '',
    'log-file': '',
  };
}

async function startObjectKeeper(cluster: readonly string[]): Promise<void> {
  const id = randomUUID();
  await run('ceph', [...cluster, 'osd', 'new', id]);
  await startServerProcess(async ({ folder }) => {
    const keeper = [...cluster, '--id=0', `--osd-data=${folder}`, `--osd-uuid=${id}`];
    await run('ceph-osd', [...keeper, '--mkfs']);
    return { program: 'ceph-osd', args: [...keeper, '--foreground'], up: 'started' };
  });
}
