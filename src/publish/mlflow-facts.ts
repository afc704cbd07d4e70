import { isJsonObject, type JsonValue } from '../base/json.ts';
import type { VersionRecord } from '../registry/record.ts';
import type { Sealed } from '../registry/sealed.ts';

type Pairs = ReadonlyArray<readonly [string, string]>;

/** What a run and a version of MLflow are told of a version of ours. */
export interface MlflowFacts {
  /** Name of the run. */
  readonly name: string;
  readonly metrics: ReadonlyArray<readonly [string, number]>;
  readonly params: Pairs;
  readonly tags: Pairs;
  readonly versionTags: Pairs;
  /** What could not be kept. */
  readonly notes: readonly string[];
}

// Limits of MLflow 2 and 3, mlflow/utils/validation.py.
const keyLengthMax = 250;
const paramLengthMax = 6000;
const tagLengthMax = 5000;

/** Names below which metadata keeps parameters of a training. */
const paramSections = ['parameters', 'params', 'hyperparameters'];

/** Chooses what of a record MLflow keeps, in its own words. */
export function runFacts({ value, sha256 }: Sealed<VersionRecord>): MlflowFacts {
  const {
    model,
    version,
    author,
    description,
    metrics,
    labels = {},
    metadata = {},
    source,
  } = value;
  const notes: string[] = [];
  const params = paramSections
    .flatMap((section) => [...leaves(metadata[section], '')])
    .map(([key, text]) => [keyOf(key), text] as const)
    .filter(([key, text]) => {
      const fits = text.length <= paramLengthMax;
      if (!fits) notes.push(`The parameter ${key} is too long for MLflow and is left out`);
      return fits;
    });
  const ours = [
    ['mstore.model', model],
    ['mstore.version', version],
    ['mstore.record', sha256],
    ['mstore.content', value.content.sha256],
  ] as const;
  const git = source?.git?.commit;
  const told = [
    ['mlflow.source.name', 'mstore'],
    ['mlflow.source.type', 'LOCAL'],
    ['mlflow.user', author],
    ...(git === undefined ? [] : [['mlflow.source.git.commit', git] as const]),
    ...(description === undefined ? [] : [['mlflow.note.content', description] as const]),
  ] as const;
  const own = Object.entries(labels).map(([key, text]) => [keyOf(key), text] as const);
  const short = (pairs: Pairs): Pairs =>
    pairs.map(([key, text]) => [key, text.slice(0, tagLengthMax)] as const);
  return {
    name: `${model} ${version}`,
    metrics: uniqueKeys(Object.entries(metrics).map(([key, number]) => [keyOf(key), number])),
    params: uniqueKeys(params),
    tags: short(uniqueKeys([...ours, ...told, ...own])),
    versionTags: short(uniqueKeys([...ours, ...own])),
    notes,
  };
}

/** The plain values of metadata, named by the way to them. */
function* leaves(value: JsonValue | undefined, name: string): Generator<readonly [string, string]> {
  if (isJsonObject(value)) {
    for (const [key, inner] of Object.entries(value)) {
      yield* leaves(inner, name === '' ? key : `${name}.${key}`);
    }
  } else if (value !== undefined && name !== '') {
    yield [name, typeof value === 'string' ? value : JSON.stringify(value)];
  }
}

/** Keys of MLflow are relative paths of letters, digits, and `_ - . / space`. */
function keyOf(key: string): string {
  const plain = key.replaceAll(/[^A-Za-z0-9_\-. /]/g, '_').replaceAll(/\/+/g, '/');
  const parts = plain.split('/').map((part) => (/^\.{0,2}$/.test(part) ? '_' : part));
  return parts.join('/').slice(0, keyLengthMax);
}

function uniqueKeys<T>(pairs: ReadonlyArray<readonly [string, T]>): Array<readonly [string, T]> {
  return [...new Map(pairs)];
}
