import * as fs from 'node:fs';
import * as path from 'node:path';
import { pythonPlace } from './python-place.ts';
import { startServerProcess } from './server-process.ts';

/** The newest version, with what a model of the tests runs on, and the last one of the major before. */
export const mlflowPlaces = {
  3: pythonPlace('mstore-mlflow', ['mlflow[auth]==3.17.2', 'onnxruntime==1.31.1']),
  // It does not say that it needs an older one.
  2: pythonPlace('mstore-mlflow', ['mlflow==2.22.5', 'sqlalchemy<2.1']),
};

export type MlflowMajor = keyof typeof mlflowPlaces;

/** Its database is made at the first start. */
const startMsMax = 180_000;

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
      program: mlflowPlaces[major].program('mlflow'),
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
export function mlflowPython(
  major: MlflowMajor,
  script: string,
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<string> {
  const whole = { PATH: process.env['PATH'], MLFLOW_DISABLE_TELEMETRY: 'true', ...env };
  return mlflowPlaces[major].run(script, [], { cwd, env: whole });
}
