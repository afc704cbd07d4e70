#!/usr/bin/env node
/**
 * Installs the peers that the bench measures beside mstore: programs by the package manager of Debian,
 * Python packages into a virtual environment of their own, and builds the servers of the section of
 * services, which are written in Go and take some minutes.
 *
 *   npm run bench:peers                      all of them
 *   npm run bench:peers -- --venv FOLDER     the environment elsewhere; the bench wants the same option
 *   npm run bench:peers -- --no-apt          nothing by the package manager
 *   npm run bench:peers -- --no-go           no servers
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { venvDefault } from './environment.js';
import { serviceServers, usualServers } from './service-servers.js';
import { useTypeScript } from './typescript.js';

const programs = ['git-lfs', 'restic', 'borgbackup', 'casync', 'git-annex', 'rclone', 'time'];
const modules = ['awscli', 'dvc', 'hf_xet', 'huggingface_hub'];

const { values } = parseArgs({
  options: {
    venv: { type: 'string', default: venvDefault },
    apt: { type: 'boolean', default: true },
    go: { type: 'boolean', default: true },
  },
  allowNegative: true,
});

/** Runs one step in sight of whoever started it; says what failed and goes on with the next. */
function step(command, ...args) {
  process.stderr.write(`${command} ${args.join(' ')}\n`);
  const { status, error } = spawnSync(command, args, {
    stdio: 'inherit',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (status === 0) return true;
  process.stderr.write(`${command} failed${error === undefined ? '' : `: ${error.message}`}\n`);
  process.exitCode = 1;
  return false;
}

function installPrograms() {
  if (process.getuid?.() !== 0) {
    process.stderr.write(`Ask an administrator: apt-get install ${programs.join(' ')}\n`);
    process.exitCode = 1;
    return;
  }
  step('apt-get', 'update', '-q');
  step('apt-get', 'install', '-q', '-y', '--no-install-recommends', ...programs);
}

function installModules() {
  const folder = path.resolve(values.venv);
  fs.mkdirSync(path.dirname(folder), { recursive: true });
  if (!step('python3', '-m', 'venv', folder)) return;
  step(path.join(folder, 'bin/pip'), 'install', '--quiet', ...modules);
}

async function buildServers() {
  useTypeScript();
  const { installGoProgram } = await import('../../support/go-program.ts');
  for (const name of usualServers) {
    const program = await serviceServers[name].program();
    process.stderr.write(`go install ${program.from}@${program.version}\n`);
    try {
      await installGoProgram(program);
    } catch (error) {
      process.stderr.write(`${program.name} is not built: ${error.stderr ?? error.message}\n`);
      process.exitCode = 1;
    }
  }
}

if (values.apt) installPrograms();
installModules();
if (values.go) await buildServers();
