import { programFile } from './program-files.ts';

/** The version of this program, that of package.json. */
export function programVersion(): string {
  const text = Buffer.from(programFile('package.json')).toString();
  return (JSON.parse(text) as { version: string }).version;
}
