import { pathProblem } from '../base/names.ts';
import { parseRate, rateAbout } from './rate.ts';
import type { ConfigValue } from './toml-edit.ts';

/** How a key of the configuration is checked; `NAME` stands for the name of a remote. */
export interface KeyRule {
  readonly type: 'string' | 'integer' | 'boolean';
  readonly about: string;
  readonly readOnly?: true;
  readonly check?: (value: ConfigValue) => boolean;
}

/** Most transfers that may run at once. */
export const jobsMax = 256;

/** Every key that this version knows, for `mstore config` and its documentation. */
export const configKeys: Readonly<Record<string, KeyRule>> = {
  'core.format': { type: 'integer', about: 'Format of the workspace', readOnly: true },
  'core.repository': {
    type: 'string',
    about:
      'Identity of the repository in its remotes, 32 hexadecimal digits that "mstore init" draws',
    readOnly: true,
    // It is a part of paths, in shared stores and in remotes.
    check: (value) => /^[0-9a-f]{32}$/.test(String(value)),
  },
  'core.remote': { type: 'string', about: 'Name of the default remote' },
  'core.author': {
    type: 'string',
    about: 'Who stands in records of versions and deployments: one line, of the form Name <mail>',
    check: (value) => /^\S(?:\P{Cc}{0,254}\S)?$/u.test(String(value)),
  },
  'core.model': {
    type: 'string',
    about: 'Model that is meant where a version or an environment is named without one',
    check: (value) => /^[a-z0-9][a-z0-9._-]*$/.test(String(value)),
  },
  'core.git': {
    type: 'string',
    about: 'How Git is read: auto, binary or isomorphic',
    check: (value) => ['auto', 'binary', 'isomorphic'].includes(String(value)),
  },
  'registry.lifecycle': {
    type: 'string',
    about: 'Environments in the order of a promotion, joined by commas without spaces',
    check: (value) => /^[a-z0-9][a-z0-9._-]*(?:,[a-z0-9][a-z0-9._-]*)*$/.test(String(value)),
  },
  'registry.rollback_window': {
    type: 'integer',
    about: 'Versions that each environment keeps to go back to, 0 to 1000',
    check: (value) => Number(value) >= 0 && Number(value) <= 1000,
  },
  'audit.required': {
    type: 'boolean',
    about: 'Whether acts on a remote are refused that its audit log cannot take: true or false',
  },
  'store.path': {
    type: 'string',
    about: 'Folder of the local store, to share one between workspaces',
    check: (value) => String(value).trim() !== '',
  },
  'store.compression': {
    type: 'string',
    about: 'Whether new chunks are compressed: off, or auto where it saves 5 % or more',
    check: (value) => ['off', 'auto'].includes(String(value)),
  },
  'checkout.link': {
    type: 'string',
    about: 'How files are placed, in order of preference: copy, reflink, hardlink, symlink',
    check: (value) => parseLinkKinds(String(value)) !== undefined,
  },
  'transfer.jobs': {
    type: 'integer',
    about: `Transfers at once, 1 to ${jobsMax}`,
    check: (value) => Number(value) >= 1 && Number(value) <= jobsMax,
  },
  'transfer.rate_limit': {
    type: 'string',
    about: rateAbout,
    check: (value) => parseRate(String(value)) !== undefined,
  },
  'push.remotes': {
    type: 'string',
    about: 'Names of the remotes that push sends to, joined by commas without spaces',
    check: (value) => isNameList(String(value)),
  },
  'fetch.remotes': {
    type: 'string',
    about: 'Names of the remotes that fetch and pull ask, in that order, joined by commas',
    check: (value) => isNameList(String(value)),
  },
  'validate.policy': {
    type: 'string',
    about: 'What is done about invalid and dangerous files: allow, warn or deny',
    check: (value) => ['allow', 'warn', 'deny'].includes(String(value)),
  },
  'publish.card': {
    type: 'string',
    about: 'Template of the model cards that publish writes, from the top of the workspace',
    check: (value) => pathProblem(String(value)) === undefined,
  },
  'publish.experiment': {
    type: 'string',
    about:
      'Name of the experiment in MLflow; {date}, {model}, {version} and {LABEL} stand for those of a version',
  },
  'remote.NAME.url': {
    type: 'string',
    about: 'Where a remote is: a directory, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or https://HOST',
  },
  'remote.NAME.endpoint': {
    type: 'string',
    about: 'URL of a service that speaks S3 or as Cloud Storage, of the form https://HOST:PORT',
    check: (value) => /^https?:\/\/[^/@?#\s]+\/?$/.test(String(value)),
  },
  'remote.NAME.region': {
    type: 'string',
    about: 'Region of the bucket, for s3://',
    check: (value) => /^[A-Za-z0-9-]+$/.test(String(value)),
  },
  'remote.NAME.rate_limit': {
    type: 'string',
    about: 'The same for this remote',
    check: (value) => parseRate(String(value)) !== undefined,
  },
  'remote.NAME.path_style': {
    type: 'boolean',
    about: 'Whether the bucket is in the path of requests, not in the host name: true or false',
  },
  'remote.NAME.profile': {
    type: 'string',
    about: 'Profile of the shared AWS configuration to take credentials from',
  },
  'remote.NAME.storage_class': {
    type: 'string',
    about:
      'Storage class of new objects, one that is read at once, such as STANDARD_IA or NEARLINE',
    check: (value) => /^[A-Z][A-Z0-9_]*$/.test(String(value)),
  },
  'remote.NAME.sse': {
    type: 'string',
    about: 'Encryption of new objects by the service: s3 (its own keys) or kms',
    check: (value) => ['s3', 'kms'].includes(String(value)),
  },
  'remote.NAME.sse_key': {
    type: 'string',
    about:
      'Id or ARN of the key for sse = "kms", for gs:// its resource name; without it the default key of the bucket',
  },
  'remote.NAME.project': {
    type: 'string',
    about: 'Project that pays for requests to gs:// with requester_pays',
    check: (value) => /^[a-z0-9.:-]+$/.test(String(value)),
  },
  'remote.NAME.requester_pays': {
    type: 'boolean',
    about: 'Whether whoever asks pays for transfers: true or false',
  },
  'remote.NAME.anonymous': {
    type: 'boolean',
    about: 'Whether requests are not signed, to read a public bucket: true or false',
  },
  'remote.NAME.accept_races': {
    type: 'boolean',
    about:
      'Whether to use a service without conditional writes, where a later writer may win: true or false',
  },
  'remote.NAME.encryption': {
    type: 'string',
    about:
      'Id of the key that the remote must be encrypted by, 32 hexadecimal digits that "mstore remote add" and "rekey" write',
    check: (value) => /^[0-9a-f]{32}$/.test(String(value)),
  },
  'remote.NAME.passphrase_env': {
    type: 'string',
    about:
      'Variable that holds the passphrase of the remote, on this machine; by default MSTORE_PASSPHRASE',
    check: (value) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(String(value)),
  },
  'identity.file': {
    type: 'string',
    about:
      'File of the age identities that open encrypted remotes, on this machine: MSTORE_IDENTITY_FILE',
    check: (value) => String(value).trim() !== '',
  },
};

/** Ways to place a file in the workspace. */
export const linkKinds = ['copy', 'reflink', 'hardlink', 'symlink'] as const;
export type LinkKind = (typeof linkKinds)[number];

/** Parses a list of ways like `reflink, copy`; undefined when it holds another word. */
export function parseLinkKinds(text: string): LinkKind[] | undefined {
  const kinds = text.split(',').map((kind) => kind.trim());
  return kinds.every((kind) => linkKinds.includes(kind as LinkKind))
    ? (kinds as LinkKind[])
    : undefined;
}

/** The name a remote may have. */
export const remoteNamePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

function isNameList(text: string): boolean {
  return text.split(',').every((name) => remoteNamePattern.test(name));
}
