import * as path from 'node:path';

/** A single executable that tests of the command line are to start; without one they start the package. */
const executable = process.env['MSTORE_TEST_PROGRAM'];

const bin = path.resolve(import.meta.dirname, '../../bin/mstore.js');

/** What runs to start the command line, as a process of a test does. */
export const program = executable ?? process.execPath;

/** What comes before the arguments of the command line. */
export const programArgs: readonly string[] = executable === undefined ? [bin] : [];

/** The same two for a shell. */
export const programLine = [program, ...programArgs].map((word) => `'${word}'`).join(' ');
