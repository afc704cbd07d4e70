import * as path from 'node:path';
import { parse } from 'smol-toml';
import { clearDeadTemps } from '../base/dead-temps.ts';
import { fromSystemError, MstoreError } from '../base/errors.ts';
import { readBounded, settleFolder, writeAtomically } from '../base/files.ts';
import { limits } from '../base/limits.ts';
import { withLock } from '../base/lock.ts';
import { type ConfigValue, editToml } from './toml-edit.ts';

/** A table of TOML as it was read. */
export type ConfigTable = Readonly<Record<string, unknown>>;

/**
 * Reads a configuration file; one that is not there is empty.
 * @param file absolute path
 * @throws MstoreError `config-invalid`, `too-large`
 */
export function readConfigFile(file: string): ConfigTable {
  const text = readBounded(file, limits.configBytesMax)?.toString();
  return text === undefined ? {} : parseFile(text, file);
}

function parseFile(text: string, file: string): ConfigTable {
  try {
    return parse(text);
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new MstoreError('config-invalid', `${file} is not valid TOML: ${reason}`, {
      hint: 'Correct the file by hand, or restore it from Git',
      details: { path: file },
      cause: error,
    });
  }
}

/**
 * Sets or, with undefined, removes a key in one of the two files. Other lines stay as they are.
 * @param file absolute path; made when it does not exist
 */
export async function writeConfigKey(
  file: string,
  key: string,
  value: ConfigValue | undefined,
  lockFolder: string,
): Promise<void> {
  await withLock(path.join(lockFolder, 'config.lock'), () => {
    clearDeadTemps(lockFolder);
    clearDeadTemps(path.dirname(file), '.');
    const bytes = readBounded(file, limits.configBytesMax, { noFollow: true });
    const text = bytes?.toString() ?? '';
    if (text === '' && value === undefined) return;
    parseFile(text, file);
    const edited = editToml(text, key.split('.'), value);
    if (edited === text) {
      settleFolder(path.dirname(file));
      return;
    }
    try {
      writeAtomically(file, edited);
    } catch (error) {
      throw fromSystemError(error, `writing ${file}`);
    }
  });
}
