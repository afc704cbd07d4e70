#!/usr/bin/env node
/**
 * Keeps what V8 makes of the bundle of the command line, for src/cli/compiled.ts: with the functions that
 * the commands needed which are started most, since V8 compiles a function only when it is called.
 * Writes to the file that is named, by default beside the bundle.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { compiledFile, compiledScript, runCompiled } from '../../dist/cli/compiled.cjs';

const bundle = new URL('../../dist/cli/run.js', import.meta.url);
const place = fs.mkdtempSync(path.join(os.tmpdir(), 'mstore-build-'));
// Nothing of whoever builds gets in, and nothing of this gets out.
for (const name of Object.keys(process.env))
  if (/^(GIT|MSTORE|XDG)_/.test(name)) delete process.env[name];
Object.assign(process.env, { HOME: place, USERPROFILE: place, GIT_CONFIG_NOSYSTEM: '1' });

const script = compiledScript(bundle);
const { runCommandLine } = runCompiled(script, bundle);

const workspace = path.join(place, 'workspace');
fs.mkdirSync(path.join(workspace, 'model'), { recursive: true });
for (const name of ['a', 'b']) fs.writeFileSync(path.join(workspace, 'model', name), name);
const commands = [
  ['init', '--no-git'],
  ['add', 'model'],
  ['remote', 'add', 'origin', '../remote'],
  ['push'],
  ['status'],
  ['fetch'],
  ['checkout', 'model'],
  ['pull'],
];
try {
  for (const command of commands) {
    const code = await runCommandLine(['-q', '-C', workspace, ...command], '0');
    if (code !== 0) throw new Error(`mstore ${command.join(' ')} ended with ${code}`);
  }
} finally {
  fs.rmSync(place, { recursive: true, force: true });
}
const kept = compiledFile(fs.readFileSync(bundle), script.createCachedData());
fs.writeFileSync(process.argv[2] ?? `${fileURLToPath(bundle)}.compiled`, kept);
