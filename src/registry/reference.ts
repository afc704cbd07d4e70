import { type Digest, isDigest } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { latestName, registryNameProblem } from './names.ts';

/** `model@v1`, `model@production`, `model@latest`. */
export interface ModelReference {
  readonly kind: 'model';
  readonly model: string;
  /** A version, an environment or `latest`. */
  readonly selector: string;
}

/** A reference to what another place or another tool holds. */
export type ForeignReference =
  | { readonly kind: 'local'; readonly folder: string }
  | { readonly kind: 'hf'; readonly repository: string; readonly revision?: string }
  | { readonly kind: 's3' | 'gs'; readonly bucket: string; readonly prefix: string }
  | {
      readonly kind: 'https';
      /** Without its fragment. */
      readonly url: string;
      /** What the bytes there are to be. */
      readonly sha256: Digest;
    }
  | {
      readonly kind: 'mlflow';
      readonly model: string;
      /** A number. */
      readonly version?: string;
      readonly alias?: string;
    }
  | {
      readonly kind: 'dvc';
      readonly path: string;
      /** A branch, tag or commit of the Git repository; the working tree where none is named. */
      readonly revision?: string;
    }
  | {
      readonly kind: 'oci';
      readonly host: string;
      readonly repository: string;
      readonly tag?: string;
      /** With its algorithm, as in `sha256:…`. */
      readonly digest?: string;
    };

/** What an argument of a command names, by its form alone. */
export type Reference =
  | ModelReference
  | ForeignReference
  | { readonly kind: 'git'; readonly revision: string }
  /** Begins as only paths do: `./`, `../`, `/`. */
  | { readonly kind: 'path'; readonly path: string }
  /** A version or environment of the model that is meant by itself, a name in Git, or a path. */
  | { readonly kind: 'word'; readonly word: string };

/** `[REF:]PATH`. */
export interface FileReference {
  readonly reference: Reference | undefined;
  readonly path: string;
}

/** Characters of a reference; more than any system takes as a path. */
const referenceLengthMax = 4_096;

/**
 * Reads a reference by the one grammar that all commands share. Nothing is looked up.
 * @throws MstoreError `usage` when it is empty, too long, or begins as a kind of reference and does not go on so
 */
export function parseReference(text: string): Reference {
  checkText(text);
  if (isPathAlone(text)) return { kind: 'path', path: text };
  const scheme = schemeOf(text);
  if (scheme !== undefined) return scheme.parse(text.slice(scheme.prefix.length));
  const other = /^([A-Za-z][A-Za-z0-9+.-]+):\/\//.exec(text)?.[1];
  if (other !== undefined) {
    throw new MstoreError('usage', `No reference begins with ${other}://`, { hint: grammarHint });
  }
  return modelReference(text) ?? { kind: 'word', word: text };
}

/**
 * Reads `[REF:]PATH`. The path follows the first colon, or the last one where the kind of reference has colons
 * of its own; what begins as only paths do is a path to its end.
 * @throws MstoreError as {@link parseReference}
 */
export function parseFileReference(text: string): FileReference {
  checkText(text);
  const { prefix = '', colons = false } = schemeOf(text) ?? {};
  const colon = colons ? text.lastIndexOf(':') : text.indexOf(':', prefix.length);
  if (isPathAlone(text) || (colon === -1 && prefix === '')) {
    return { reference: undefined, path: text };
  }
  if (colon < prefix.length) {
    throw new MstoreError('usage', `${printable(text)} names no file`, {
      hint: `Write the file behind it: ${printable(text)}:PATH`,
    });
  }
  const path = text.slice(colon + 1);
  if (path === '' || colon === prefix.length) {
    throw new MstoreError('usage', `${printable(text)} is not of the form REF:PATH`, {
      hint: 'Write REF:PATH, or ./ in front if a path with a colon is meant',
    });
  }
  return { reference: parseReference(text.slice(0, colon)), path };
}

/** Reads `model@selector`, both of them being names of a registry. */
function modelReference(text: string): ModelReference | undefined {
  const at = text.indexOf('@');
  if (at < 1) return undefined;
  const model = text.slice(0, at);
  const selector = text.slice(at + 1);
  const fits =
    registryNameProblem('model', model) === undefined &&
    (selector === latestName || registryNameProblem('version', selector) === undefined);
  return fits ? { kind: 'model', model, selector } : undefined;
}

interface Scheme {
  readonly prefix: string;
  /** How a reference of the kind is written. */
  readonly form: string;
  /** Whether colons may follow the prefix. */
  readonly colons: boolean;
  /** Reads what follows the prefix. */
  readonly parse: (rest: string) => Reference;
}

const schemes: readonly Scheme[] = [
  {
    ...scheme('git:', 'git:REV', (rest) =>
      rest === '' ? undefined : { kind: 'git', revision: rest },
    ),
    colons: false,
  },
  scheme('local:', 'local:DIR', (rest) =>
    rest === '' ? undefined : { kind: 'local', folder: rest },
  ),
  scheme('hf:', 'hf:ORG/NAME or hf:ORG/NAME@REV', parseHub),
  scheme('s3://', 's3://BUCKET/FOLDER', (rest) => parseBucket('s3', rest)),
  scheme('gs://', 'gs://BUCKET/FOLDER', (rest) => parseBucket('gs', rest)),
  scheme('https://', 'https://HOST/PATH#sha256=DIGEST', (rest) => parseWeb('https', rest)),
  scheme('http://', 'http://HOST/PATH#sha256=DIGEST', (rest) => parseWeb('http', rest)),
  scheme('mlflow:', 'mlflow:models:/NAME/3 or mlflow:models:/NAME@ALIAS', parseMlflow),
  scheme('dvc:', 'dvc:PATH or dvc:PATH#rev=REV', parseDvc),
  scheme('oci://', 'oci://HOST/REPOSITORY:TAG', parseOci),
];

const grammarHint = `Write MODEL@VERSION, MODEL@ENVIRONMENT, ${schemes.map(({ form }) => form).join(', ')}, or a path`;

function scheme(
  prefix: string,
  form: string,
  parse: (rest: string) => Reference | undefined,
): Scheme {
  return {
    prefix,
    form,
    colons: true,
    parse(rest) {
      const reference = parse(rest);
      if (reference !== undefined) return reference;
      // What follows is not shown: it may be a password in a wrong place.
      throw new MstoreError('usage', `A reference that begins with ${prefix} is not of its form`, {
        hint: `Write ${form}; a path of that name is written with ./ in front`,
      });
    },
  };
}

function schemeOf(text: string): Scheme | undefined {
  return schemes.find(({ prefix }) => text.startsWith(prefix));
}

/** Tells whether a text begins as only paths do. */
function isPathAlone(text: string): boolean {
  return text === '.' || text === '..' || /^(?:\.{0,2}[/\\]|[A-Za-z]:[\\/])/.test(text);
}

// The rules of the Hub: huggingface_hub, validate_repo_id.
const hubName = /^[A-Za-z0-9._-]{1,96}$/;
const plainText = /^[^\s@:?#\p{Cc}]{1,255}$/u;

function parseHub(rest: string): Reference | undefined {
  const [repository = '', revision, more] = rest.split('@');
  const names = repository.split('/');
  const fits = names.length <= 2 && names.every((name) => hubName.test(name) && !isDots(name));
  if (!fits || more !== undefined) return undefined;
  if (revision === undefined) return { kind: 'hf', repository };
  return plainText.test(revision) ? { kind: 'hf', repository, revision } : undefined;
}

function parseBucket(kind: 's3' | 'gs', rest: string): Reference | undefined {
  const slash = rest.indexOf('/');
  const bucket = slash === -1 ? rest : rest.slice(0, slash);
  const prefix = slash === -1 ? '' : rest.slice(slash + 1);
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/.test(bucket) ? { kind, bucket, prefix } : undefined;
}

/** The digest is part of the name: what an address gives may change at any time. */
function parseWeb(protocol: 'https' | 'http', rest: string): Reference | undefined {
  const [address = '', fragment = '', more] = rest.split('#');
  const sha256 = /^sha256=([0-9a-f]{64})$/i.exec(fragment)?.[1]?.toLowerCase();
  const text = `${protocol}://${address}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const fits = url !== undefined && url.username === '' && url.password === '';
  if (!fits || more !== undefined || !isDigest(sha256)) return undefined;
  return { kind: 'https', url: url.href, sha256 };
}

function parseMlflow(rest: string): Reference | undefined {
  const match = /^models:\/([^/@]+)(?:\/(\d{1,15})|@([^/@]+))$/.exec(rest);
  const [, model = '', version, alias] = match ?? [];
  if (!plainText.test(model)) return undefined;
  if (version !== undefined) return { kind: 'mlflow', model, version };
  return alias !== undefined && plainText.test(alias)
    ? { kind: 'mlflow', model, alias }
    : undefined;
}

/** The revision stands behind a sign that neither paths nor tags have: `@` and `#` are in both. */
function parseDvc(rest: string): Reference | undefined {
  const at = rest.indexOf('#rev=');
  const path = at === -1 ? rest : rest.slice(0, at);
  if (path === '') return undefined;
  if (at === -1) return { kind: 'dvc', path };
  const revision = rest.slice(at + '#rev='.length);
  return /^[^\s\p{Cc}]{1,255}$/u.test(revision) ? { kind: 'dvc', path, revision } : undefined;
}

// The rules of the OCI distribution specification 1.1, "Pulling manifests".
const ociName = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const ociTag = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const ociDigest = /^sha256:[0-9a-f]{64}$/;
const ociHost = /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}(?::\d{1,5})?$/;

function parseOci(rest: string): Reference | undefined {
  const slash = rest.indexOf('/');
  const host = rest.slice(0, Math.max(0, slash));
  const [named = '', digest, more] = rest.slice(slash + 1).split('@');
  const [repository = '', tag, port] = named.split(':');
  if (!ociHost.test(host) || more !== undefined || port !== undefined) return undefined;
  if (!repository.split('/').every((name) => ociName.test(name))) return undefined;
  if (tag !== undefined && !ociTag.test(tag)) return undefined;
  if (digest !== undefined && !ociDigest.test(digest)) return undefined;
  if (tag === undefined && digest === undefined) return undefined;
  const base = { kind: 'oci', host, repository } as const;
  return {
    ...base,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

function isDots(name: string): boolean {
  return name === '.' || name === '..';
}

function checkText(text: string): void {
  if (text !== '' && text.length <= referenceLengthMax && !text.includes('\0')) return;
  const what =
    text === ''
      ? 'An argument is empty: it names no version and no path'
      : text.includes('\0')
        ? 'An argument holds a NUL character, which nothing can be named with'
        : `An argument has more than ${referenceLengthMax} characters: nothing is named so`;
  throw new MstoreError('usage', what, {
    hint: text === '' ? 'Was a variable of the shell not set? Write . for the folder' : grammarHint,
  });
}
