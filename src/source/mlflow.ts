import { MstoreError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import { printable } from '../base/names.ts';
import type { Web } from './http.ts';
import { MlflowApi, objectIn, textIn } from './mlflow-api.ts';
import type { MlflowPlace } from './mlflow-place.ts';
import { checkUnchanged, type Snapshot } from './snapshot.ts';

/** A version in the model registry of MLflow. */
export interface MlflowModel {
  readonly model: string;
  /** A number. */
  readonly version?: string;
  readonly alias?: string;
}

/** A version of MLflow, and where its files are. */
export interface OpenedMlflow {
  /** Undefined where the server does not hand its artifacts out. */
  readonly snapshot: Snapshot | undefined;
  readonly reference: string;
  /** An address of MLflow or of a bucket. */
  readonly artifacts: string;
  /** What a record keeps of it. */
  readonly facts: JsonObject;
}

/**
 * Opens a version in the model registry of MLflow, by its number or an alias. MLflow keeps no digests, and does not forbid
 * to change the files of a version: they are listed again at the end.
 * @throws MstoreError `not-found`, `remote-refused`, `remote-unreachable`, `corrupt-source`
 */
export async function openMlflow(
  asked: MlflowModel,
  place: MlflowPlace,
  web: Web,
  signal: AbortSignal | undefined,
): Promise<OpenedMlflow> {
  const { model, alias } = asked;
  const named = `mlflow:models:/${model}${alias === undefined ? `/${asked.version}` : `@${alias}`}`;
  const api = new MlflowApi(place, web, named, 'read', signal);
  const found = await versionOf(api, asked);
  const version = textIn(found, 'version');
  const reference = `mlflow:models:/${model}/${version}`;
  const artifacts = await artifactsOf(api, model, version);
  const run = textIn(found, 'run_id');
  const facts = {
    kind: 'mlflow',
    server: place.base.href.replace(/\/$/, ''),
    model,
    version,
    ...(alias === undefined ? {} : { alias }),
    ...(run === '' ? {} : { run }),
  };
  const folder = api.artifacts(artifacts);
  if (folder === undefined) return { snapshot: undefined, reference, artifacts, facts };
  const files = await api.list(folder);
  if (files.length === 0) {
    throw new MstoreError('not-found', `${printable(reference)} has no files`, {
      hint: 'Look at its artifacts in MLflow',
      details: { source: reference },
    });
  }
  const snapshot: Snapshot = {
    reference,
    facts,
    isFixed: false,
    files,
    read: (file, start, options) =>
      web.read(
        {
          url: folder.url(file.path),
          where: reference,
          path: file.path,
          size: file.size,
          headers: folder.headers,
          refusal: (answer) => api.refusal(answer),
        },
        start,
        options.signal,
      ),
    async confirm() {
      checkUnchanged(reference, files, await api.list(folder));
    },
  };
  return { snapshot, reference, artifacts, facts };
}

async function versionOf(api: MlflowApi, asked: MlflowModel): Promise<JsonObject> {
  const { model, alias, version = '' } = asked;
  if (alias === undefined) {
    return objectIn(await api.get('model-versions/get', { name: model, version }), 'model_version');
  }
  try {
    return objectIn(
      await api.get('registered-models/alias', { name: model, alias }),
      'model_version',
    );
  } catch (error) {
    // A missing alias is told as a wrong parameter.
    if (!(error instanceof MstoreError) || error.details['status'] !== 400) throw error;
    throw new MstoreError(
      'not-found',
      `The model ${printable(model)} has no alias ${printable(alias)} in MLflow`,
      {
        hint: `Look at its versions there, or name one: mlflow:models:/${printable(model)}/NUMBER`,
        cause: error,
        details: { source: api.where },
      },
    );
  }
}

/** Where the files of a version are: what it was made from, or where the server has put that. */
async function artifactsOf(api: MlflowApi, model: string, version: string): Promise<string> {
  const answer = await api.get('model-versions/get-download-uri', { name: model, version });
  return textIn(answer, 'artifact_uri');
}
