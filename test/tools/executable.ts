import { executableFor } from '../support/executable.ts';
import { setup as build } from './build.ts';

/** Has the tests of the command line start the single executable of this machine. */
export async function setup(): Promise<void> {
  build();
  if (process.arch !== 'x64' && process.arch !== 'arm64')
    throw new Error(`There is no executable for ${process.arch}`);
  process.env['MSTORE_TEST_PROGRAM'] = await executableFor(process.arch);
}
