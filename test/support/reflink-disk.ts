import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { onTestFinished } from 'vitest';
import { tempFolder } from './temp.ts';

const mib = 1024 * 1024;

/**
 * Mounts a new XFS, on which files can share bytes until one is changed; it goes with the test. Needs
 * root and loop devices.
 */
export function mountReflinkDisk(sizeMib: number): string {
  const folder = tempFolder();
  const image = path.join(folder, 'disk.img');
  const place = path.join(folder, 'disk');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, sizeMib * mib);
  execFileSync('mkfs.xfs', ['-q', '-m', 'reflink=1', image]);
  fs.mkdirSync(place);
  execFileSync('mount', ['-o', 'loop', image, place]);
  onTestFinished(() => {
    execFileSync('umount', [place]);
  });
  return place;
}

/** Bytes in use on the file system of a folder, once all that was written has reached it. */
export function bytesUsed(folder: string): number {
  execFileSync('sync', ['-f', folder]);
  const { blocks, bfree, bsize } = fs.statfsSync(folder);
  return (blocks - bfree) * bsize;
}
