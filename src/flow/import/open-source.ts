import * as fs from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { tempName } from '../../base/files.ts';
import { printable } from '../../base/names.ts';
import { silentProgress } from '../../base/progress.ts';
import type { ForeignReference } from '../../registry/reference.ts';
import { openBucket } from '../../source/bucket.ts';
import { Web, type WebTls } from '../../source/http.ts';
import { openHub } from '../../source/hub.ts';
import { hubPlace, isHubOffline } from '../../source/hub-place.ts';
import { type OpenedMlflow, openMlflow } from '../../source/mlflow.ts';
import { mlflowPlace } from '../../source/mlflow-place.ts';
import type { Snapshot } from '../../source/snapshot.ts';
import { openWebFile } from '../../source/web-file.ts';
import type { WorkOptions } from '../add.ts';
import type { Workspace } from '../workspace.ts';
import { isArchive, unpackArchive } from './archive.ts';
import { openDvcPath } from './dvc-source.ts';
import { openFolder } from './folder.ts';
import { Staging } from './staging.ts';

/** A branch of the Hub that is meant where none is named. */
export const hubRevision = 'main';

/** A reference to a place that models are imported from. */
export type SourceReference = Extract<
  ForeignReference,
  { readonly kind: 'local' | 'hf' | 's3' | 'gs' | 'https' | 'mlflow' | 'dvc' }
>;

/** An opened source. */
export interface OpenedSource {
  readonly snapshot: Snapshot;
  /** Folder for what is unpacked on the way, to be removed at the end; absent where nothing is. */
  readonly scratch?: string;
}

/** Says where a path of this machine is from the top of the workspace, so that a record names it for everybody who has that. */
export function fromTop(
  { root }: Workspace,
  reference: SourceReference,
  cwd: string,
): SourceReference {
  if (reference.kind !== 'dvc') return reference;
  const full = path.resolve(cwd, reference.path);
  const relative = path.relative(root, full);
  const isInside = !relative.startsWith('..') && !path.isAbsolute(relative);
  return { ...reference, path: isInside ? relative.split(path.sep).join('/') : full };
}

/** Tells whether models are imported from what a reference names. */
export function isSource(reference: { readonly kind: string }): reference is SourceReference {
  return ['local', 'hf', 's3', 'gs', 'https', 'mlflow', 'dvc'].includes(reference.kind);
}

/**
 * Opens what a reference names, as it is now. An archive is received and unpacked for that.
 * @param cwd absolute folder that a relative directory starts from
 * @throws MstoreError `offline`, `not-found`, `corrupt-source`, and what its place throws
 */
export async function openSource(
  workspace: Workspace,
  reference: SourceReference,
  options: WorkOptions & { readonly cwd: string },
): Promise<OpenedSource> {
  const { surroundings } = workspace;
  const { env, offline, clock, random } = surroundings;
  const { signal, cwd } = options;
  const web = (tls?: WebTls): Web => {
    if (offline) throw needsNetwork(reference, '--offline');
    return new Web({ clock, random, sleep: surroundings.sleep, env, tls });
  };
  switch (reference.kind) {
    case 'local':
      return { snapshot: openFolder(workspace, path.resolve(cwd, reference.folder)) };
    case 'hf': {
      if (isHubOffline(env))
        throw needsNetwork(reference, 'HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE');
      const { repository, revision = hubRevision } = reference;
      const place = hubPlace(env, env['HOME'] ?? homedir());
      return { snapshot: await openHub({ repository, revision }, place, web(), signal) };
    }
    case 's3':
    case 'gs': {
      const { kind, bucket, prefix } = reference;
      const url = `${kind}://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
      return { snapshot: await bucketAt(workspace, url, signal) };
    }
    case 'mlflow': {
      const place = mlflowPlace(env, env['HOME'] ?? homedir());
      const opened = await openMlflow(reference, place, web(place.tls), signal);
      return { snapshot: opened.snapshot ?? (await mlflowFiles(workspace, opened, signal)) };
    }
    case 'dvc':
      return { snapshot: await openDvcPath(workspace, { ...reference, cwd }, options) };
    case 'https': {
      const whole = await openWebFile(reference, web(), signal);
      const name = whole.files[0]?.path ?? '';
      return isArchive(name) ? unpacked(workspace, whole, options) : { snapshot: whole };
    }
  }
}

/** The plain files of a folder of a bucket. */
async function bucketAt(
  { root, surroundings }: Workspace,
  url: string,
  signal: AbortSignal | undefined,
): Promise<Snapshot> {
  const { offline, clock, random, openRemote } = surroundings;
  const how = { base: root, offline, anyNames: true, clock, random };
  const remote = await openRemote(url, how);
  return openBucket(remote, remote.location, signal);
}

/** The files of a version of MLflow whose server does not hand them out: what it says of a disk is not for us to read. */
async function mlflowFiles(
  workspace: Workspace,
  { artifacts, reference, facts }: OpenedMlflow,
  signal: AbortSignal | undefined,
): Promise<Snapshot> {
  if (!/^(?:s3|gs):\/\//.test(artifacts)) {
    const kind = /^[a-z0-9+.-]+(?=:)/i.exec(artifacts)?.[0] ?? 'a path of its own';
    throw new MstoreError(
      'remote-refused',
      `The files of ${printable(reference)} are at ${printable(kind)}, which its server does not hand out`,
      {
        hint: 'Start it with "mlflow server --serve-artifacts", or take the files from where they are: mstore import local:DIR',
        details: { source: reference },
      },
    );
  }
  return { ...(await bucketAt(workspace, artifacts, signal)), reference, facts };
}

/** Receives an archive and unpacks it. */
async function unpacked(
  workspace: Workspace,
  whole: Snapshot,
  { signal, progress = silentProgress }: WorkOptions,
): Promise<OpenedSource> {
  const [archive] = whole.files;
  if (archive === undefined) throw new MstoreError('internal', 'An address is of one file');
  const staging = Staging.open(workspace.tempFolder, whole, workspace.surroundings.clock);
  const scratch = path.join(workspace.tempFolder, tempName());
  let isNeeded = true;
  try {
    progress.start('import', { bytesTotal: archive.size, filesTotal: 1 });
    const onBytes = (bytes: number): void => progress.advance({ bytes });
    const place = await staging.receive(whole, archive, { signal, onBytes });
    progress.finish();
    const snapshot = await unpackArchive(whole, place, scratch, signal);
    isNeeded = false;
    return { snapshot, scratch };
  } catch (error) {
    fs.rmSync(scratch, { recursive: true, force: true });
    // It would be the same again.
    if (isMstoreError(error, 'corrupt-source', 'corrupt-package')) isNeeded = false;
    throw error;
  } finally {
    staging.close(!isNeeded);
  }
}

function needsNetwork(reference: SourceReference, why: string): MstoreError {
  const name = reference.kind === 'hf' ? reference.repository : printable(`${reference.kind}://`);
  return new MstoreError(
    'offline',
    `Cannot read ${name}: it needs the network, which ${why} forbids`,
    {
      hint: 'Import it where the network may be used, then take it along: mstore package, mstore unpackage',
    },
  );
}
