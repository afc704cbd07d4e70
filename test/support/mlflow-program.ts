import { execFile, execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { installing } from './install-lock.ts';
import { startServerProcess } from './server-process.ts';

/** The newest version, and the last one of the major before, with what they run with. */
const packages = {
  3: ['mlflow[auth]==3.17.2'],
  // It does not say that it needs an older one.
  2: ['mlflow==2.22.5', 'sqlalchemy<2.1'],
};

export type MlflowMajor = keyof typeof packages;

const kept = fileURLToPath(new URL('../../node_modules/.cache/mstore-mlflow', import.meta.url));
/** Its database is made at the first start. */
const startMsMax = 180_000;

const folderOf = (major: MlflowMajor): string =>
  path.join(kept, packages[major].join('+').replaceAll(/[^\w.+=-]/g, '-'));

/** Installs MLflow with Python's installer, once, into a folder of its own. */
export function installMlflow(major: MlflowMajor): Promise<void> {
  return installing(() => {
    const place = folderOf(major);
    if (fs.existsSync(path.join(place, 'bin/mlflow'))) return;
    const made = `${place}-${process.pid}`;
    execFileSync('python3', ['-m', 'venv', made], { stdio: 'inherit' });
    const pip = ['-m', 'pip', 'install', '--quiet', '--no-compile', ...packages[major]];
    execFileSync(path.join(made, 'bin/python'), pip, { stdio: 'inherit' });
    fs.rmSync(place, { recursive: true, force: true });
    // Programs of such a folder name it; a link in its place keeps them right.
    fs.symlinkSync(made, place);
  });
}

/** How {@link startMlflow} sets a server up. */
export interface MlflowOptions {
  /** Name and password of who may do everything; without one, everybody may. */
  readonly admin?: { readonly name: string; readonly password: string };
  readonly more?: readonly string[];
}

/** Starts a tracking server; returns its address. It ends with `endServers`. */
export async function startMlflow(
  major: MlflowMajor,
  { admin, more = [] }: MlflowOptions = {},
): Promise<string> {
  const { port } = await startServerProcess(({ folder, port: free }) => {
    const env: NodeJS.ProcessEnv = {
      MLFLOW_DISABLE_TELEMETRY: 'true',
      DO_NOT_TRACK: 'true',
      MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false',
    };
    if (admin !== undefined) {
      const config = path.join(folder, 'auth.ini');
      fs.writeFileSync(
        config,
        `[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///${folder}/auth.db\n` +
          `admin_username = ${admin.name}\nadmin_password = ${admin.password}\n` +
          'authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n',
      );
      env['MLFLOW_AUTH_CONFIG_PATH'] = config;
      env['MLFLOW_FLASK_SERVER_SECRET_KEY'] = 'of a test';
    }
    return {
      program: path.join(folderOf(major), 'bin/mlflow'),
      args: [
        ...['server', '--host', '127.0.0.1', '--port', String(free), '--workers', '1'],
        ...['--backend-store-uri', `sqlite:///${folder}/mlflow.db`],
        ...['--artifacts-destination', path.join(folder, 'artifacts')],
        ...(admin === undefined ? [] : ['--app-name', 'basic-auth']),
        ...more,
      ],
      env,
      msMax: startMsMax,
      isGroup: true,
    };
  });
  return `http://127.0.0.1:${port}`;
}

/** Runs a script by the Python of a version; returns what it prints. */
export async function mlflowPython(
  major: MlflowMajor,
  script: string,
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<string> {
  const program = path.join(folderOf(major), 'bin/python');
  const whole = {
    PATH: process.env['PATH'],
    PYTHONDONTWRITEBYTECODE: '1',
    MLFLOW_DISABLE_TELEMETRY: 'true',
    ...env,
  };
  const { stdout } = await promisify(execFile)(program, ['-c', script], { cwd, env: whole });
  return stdout;
}
