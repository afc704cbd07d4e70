import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { installDebian } from './debian.ts';
import type { Image } from './image.ts';

const cache = path.resolve(import.meta.dirname, '../../node_modules/.cache/mstore-roots');
const run = promisify(execFile);

/**
 * Returns an image of Debian 12 with nothing but what each system of it has: about what `debian:bookworm-slim` holds. It is
 * made once, as root alone may, from the packages of Debian, and must not be written to.
 */
export async function debianImage(): Promise<Image> {
  const root = path.join(cache, 'bookworm');
  if (!fs.existsSync(root)) {
    await installDebian('debootstrap', 'debootstrap');
    fs.mkdirSync(cache, { recursive: true });
    const made = fs.mkdtempSync(`${root}.`);
    fs.chmodSync(made, 0o755);
    const args = ['--variant=minbase', 'bookworm', made];
    await run('debootstrap', args, { maxBuffer: 64 * 1024 * 1024 });
    for (const name of ['var/cache/apt', 'var/lib/apt/lists'])
      fs.rmSync(path.join(made, name), { recursive: true, force: true });
    fs.renameSync(made, root);
  }
  const plain = { env: {}, workdir: '/', user: '0:0', entrypoint: [], healthcheck: [] };
  return { root, cmd: ['bash'], ...plain };
}

/**
 * Returns an image with the Node and the npm of this machine on Debian, as `node:22-bookworm-slim` has others.
 * @param place folder that it is made in
 */
export async function nodeImage(place: string): Promise<Image> {
  const debian = await debianImage();
  const root = path.join(place, 'node-image');
  await run('cp', ['-a', '--reflink=auto', debian.root, root]);
  const npm = fs.realpathSync((await run('which', ['npm'])).stdout.trim());
  const library = path.dirname(path.dirname(npm));
  await run('cp', [
    '-aT',
    '--',
    fs.realpathSync(process.execPath),
    path.join(root, 'usr/bin/node'),
  ]);
  fs.mkdirSync(path.join(root, 'usr/lib/node_modules'), { recursive: true });
  await run('cp', ['-aT', library, path.join(root, 'usr/lib/node_modules/npm')]);
  fs.symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', path.join(root, 'usr/bin/npm'));
  return { ...debian, root };
}
