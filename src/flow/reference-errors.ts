import { MstoreError } from '../base/errors.ts';
import { printable, shellWord } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import type { ForeignReference } from '../registry/reference.ts';
import type { ModelNames } from '../registry/registry.ts';
import { trackedInWorkspace } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** Builds the error of a word that names nothing, with the nearest one that does. */
export async function unknownReference(
  workspace: Workspace,
  given: string,
  { models, own }: { readonly models: readonly ModelNames[]; readonly own: string | undefined },
): Promise<MstoreError> {
  const names = new Set([
    ...models.filter(({ model }) => model === own).flatMap(namesIn),
    ...((await workspace.git?.references()) ?? []).map(({ name }) => name),
    ...trackedInWorkspace(workspace).tracked.map(({ path }) => path),
    ...models.flatMap((names) => namesIn(names).map((name) => `${names.model}@${name}`)),
    ...models.map(({ model }) => model),
  ]);
  const kinds = models.length === 0 ? '' : ', no version or environment of the model';
  return new MstoreError(
    'unknown-ref',
    `${printable(given)} is neither a tracked path nor a Git branch, tag or commit${kinds}`,
    {
      hint: modelHint(given, models) ?? nearestHint(given, [...names]),
      details: { ref: given },
    },
  );
}

function namesIn({ versions, environments }: ModelNames): string[] {
  return [...versions, ...environments.keys()];
}

/** Says what to write where a word is the name of a model, or means something in models that are not implied. */
function modelHint(given: string, models: readonly ModelNames[]): string | undefined {
  if (models.some(({ model }) => model === given)) {
    return `${given} is a model: write ${given}@latest, or ${given}@VERSION`;
  }
  const having = models.filter((names) => namesIn(names).includes(given));
  if (having.length === 0) return undefined;
  const ways = having.slice(0, 3).map(({ model }) => `${model}@${given}`);
  return `Write ${ways.join(' or ')}; "mstore config set core.model MODEL" says which model is meant by itself`;
}

function nearestHint(given: string, names: readonly string[]): string {
  const near = nearest(given, names);
  return near === undefined
    ? 'Run "mstore ls" for the tracked paths, "git tag" for the tags, "mstore models" for the models'
    : `Did you mean ${printable(near)}?`;
}

/** Builds the error of a reference to what a command cannot read. */
export function foreignReference(reference: ForeignReference, text: string): MstoreError {
  const { what, hint = `Take it in first: mstore import ${shellWord(text)} --as MODEL@VERSION` } =
    foreignTexts[reference.kind];
  return new MstoreError('usage', `${printable(text)} is ${what}`, {
    hint,
    details: { ref: text, kind: reference.kind },
  });
}

const addFirst = 'then "mstore add" and "mstore register" it';
const bucketText = {
  what: 'a place in a bucket, not a version',
  hint: 'Name a remote with --remote and the version as MODEL@VERSION (mstore pull MODEL@VERSION --remote URL --to DIR), or take plain files in first with "mstore import"',
};
const foreignTexts: Readonly<
  Record<ForeignReference['kind'], { readonly what: string; readonly hint?: string }>
> = {
  local: { what: 'a directory that mstore does not track' },
  hf: { what: 'a model of the Hugging Face Hub, not a version' },
  https: { what: 'an address of the web, not a version' },
  s3: bucketText,
  gs: bucketText,
  mlflow: { what: 'a model of an MLflow registry, not a version' },
  dvc: { what: 'a path that DVC keeps, not a version' },
  oci: {
    what: 'an artifact of an OCI registry, which this mstore cannot read',
    hint: `Download it into the workspace ("oras pull"), ${addFirst}`,
  },
};
