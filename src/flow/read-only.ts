import * as fs from 'node:fs';
import * as path from 'node:path';

const writeBits = 0o222;

/**
 * Takes away the right to write from a directory and all below it, the top last: one whose top is protected is
 * so to its end. Where modes may not be changed they stay: what is there is compared each time anyway.
 */
export function protectTree(directory: string): void {
  try {
    if ((fs.lstatSync(directory).mode & writeBits) !== 0) protect(directory);
  } catch {
    // It is on a read-only file system, or somebody else's.
  }
}

function protect(folder: string): void {
  for (const dirent of fs.readdirSync(folder, { withFileTypes: true })) {
    const full = path.join(folder, dirent.name);
    if (dirent.isDirectory()) protect(full);
    else if (dirent.isFile()) takeRight(full);
  }
  takeRight(folder);
}

/** Takes the right to write from a file or a folder. */
export function takeRight(place: string): void {
  const { mode } = fs.lstatSync(place);
  if ((mode & writeBits) !== 0) fs.chmodSync(place, mode & 0o7777 & ~writeBits);
}

/** Removes a directory, read-only or not, as far as that is possible. */
export function removeTree(place: string): void {
  try {
    if (fs.lstatSync(place).isDirectory()) open(place);
    fs.rmSync(place, { recursive: true, force: true });
  } catch {
    // Another process removes it as well, or it may not be removed: it has no name that anybody looks for.
  }
}

function open(folder: string): void {
  fs.chmodSync(folder, 0o700);
  for (const dirent of fs.readdirSync(folder, { withFileTypes: true })) {
    if (dirent.isDirectory()) open(path.join(folder, dirent.name));
  }
}
