import { RequestError } from './request-error.ts';

/** The id of a repository, as an address names it. */
export interface RepositoryName {
  /** What stands before the slash, where there is one. */
  readonly ns?: string;
  readonly name: string;
}

/** For libraries that do not take a name alone: `mstore/ocr` is `ocr`. */
const plainNamespace = 'mstore';
/** Kinds of repositories that the Hub has beside models; their ids have the kind before them. */
const otherKinds: ReadonlySet<string> = new Set(['datasets', 'spaces', 'kernels', 'buckets']);

/** The id of a repository as clients write it. */
export function repositoryId({ ns, name }: RepositoryName): string {
  return ns === undefined ? name : `${ns}/${name}`;
}

/**
 * Finds the model that an id means: `ocr` and `mstore/ocr` are `ocr`, and `org/Name` is `org.name`, as names of models
 * have neither slashes nor capital letters. No namespace is passed over: two of them may have models of one name.
 * @throws RequestError where it is of something else than a model
 */
export function modelOfRepository(repository: RepositoryName): string {
  const { ns, name } = repository;
  if (ns !== undefined && otherKinds.has(ns)) throw noOtherKind();
  const full = ns === undefined || ns === plainNamespace ? name : `${ns}.${name}`;
  return full.toLowerCase();
}

/** Says that there are models here, and nothing else that the Hub has. */
export function noOtherKind(): RequestError {
  return new RequestError(404, 'unknown-model', 'This server gives out models alone', {
    hint: 'Ask the Hub itself for datasets and spaces, without HF_ENDPOINT',
  });
}
