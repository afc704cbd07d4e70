import * as fs from 'node:fs';
import type { Digest } from '../../base/digest.ts';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { sortEntries, treeDigest } from '../../base/tree.ts';
import type { FoundVersion } from '../../registry/find.ts';
import { isPresent } from '../checkout.ts';
import { checkoutTo, layOut } from '../checkout-to.ts';
import { fetch } from '../fetch.ts';
import { findFetchTargets } from '../fetch-targets.ts';
import { findOnRemotes } from '../pull-alone.ts';
import { localRegistry, registryFolder } from '../registry.ts';
import type { Targets } from '../targets.ts';
import type { Tracked } from '../tracked.ts';
import { contentOf, withFileLists } from '../version-content.ts';
import type { Asked } from './asked.ts';
import { type Brought, drifted, type Located } from './located.ts';
import type { Session } from './session.ts';

/**
 * Finds what a reference to a version, a revision of Git or a tracked path names: of versions what the remote
 * says now, as `pull` does.
 * @throws MstoreError as `findFetchTargets`; `drift` when it is not what a digest behind it says
 */
export async function locateVersion(session: Session, asked: Asked): Promise<Located> {
  const targets = session.hasWorkspace
    ? ((await pinnedHere(session, asked)) ?? (await findHere(session, asked)))
    : await findElsewhere(session, asked);
  const { version } = targets;
  if (version !== undefined && asked.sha256 !== undefined) checkRecord(asked, version);
  if (version !== undefined && version.state !== 'active') {
    const { model, version: name } = version.record.value;
    session.warnings.push(`${model}@${name} is ${version.state}`);
  }
  return {
    tree: treeOf(session, targets.tracked),
    version,
    exact: exactOf(asked, targets),
    bring: () => bring(session, targets.tracked),
  };
}

/** Finds a version whose digest is given, among those that are known here: it needs no remote. */
export async function pinnedHere(
  { workspace, work }: Session,
  { reference, sha256 }: Asked,
): Promise<Targets | undefined> {
  if (reference.kind !== 'model' || sha256 === undefined) return undefined;
  if (!fs.existsSync(registryFolder(workspace))) return undefined;
  const registry = await localRegistry(workspace, { signal: work.signal });
  const record = await registry.record(reference.model, reference.selector);
  if (record?.sha256 !== sha256) return undefined;
  const version = { record, state: 'active' } as const;
  return { commit: undefined, version, tracked: [contentOf(workspace.store, record.value, {})] };
}

async function findHere(session: Session, { bare }: Asked): Promise<Targets> {
  const { workspace, cwd, work, warnings, looked } = session;
  looked.push(`the workspace ${workspace.root} and its store`);
  // A workspace that has no remote knows its own versions all the same.
  const remotes = async () => (session.hasRemotes ? await askedRemotes(session) : []);
  const found = await findFetchTargets(workspace, [bare], { cwd, remotes }, work);
  for (const { remote, error } of found.registry?.failures ?? []) {
    warnings.push(`${remote} did not give its registry: ${error.message}`);
  }
  return found.targets;
}

/** Opens the remotes, and notes that they were. */
async function askedRemotes(session: Session): ReturnType<Session['remotes']> {
  const choices = await session.remotes();
  for (const choice of choices) {
    const why = 'error' in choice ? ' (not asked: it needs the network)' : '';
    const what = `the remote ${choice.name}${why}`;
    if (!session.looked.includes(what)) session.looked.push(what);
  }
  return choices;
}

async function findElsewhere(session: Session, { reference, bare }: Asked): Promise<Targets> {
  const { workspace, work, warnings } = session;
  if (reference.kind === 'git' || reference.kind === 'path') {
    throw new MstoreError(
      'no-workspace',
      `${printable(bare)} is of a workspace, and there is none here`,
      {
        hint: 'Run this in the workspace, or write MODEL@VERSION; a plain directory is local:DIR',
      },
    );
  }
  const choices = await askedRemotes(session);
  const { found, failures } = await findOnRemotes(workspace, choices, reference, bare, work);
  for (const { remote, error } of failures) {
    warnings.push(`${remote} did not give its registry: ${error.message}`);
  }
  const content = contentOf(workspace.store, found.record.value, {});
  return { commit: undefined, version: found, tracked: [content] };
}

function checkRecord({ text, bare, sha256 }: Asked, { record }: FoundVersion): void {
  if (record.sha256 === sha256) return;
  const { model, version } = record.value;
  throw drifted(
    bare,
    text,
    `${model}@${version}#sha256=${record.sha256}`,
    'Somebody registered another version under this name: ask who did, or pin what is meant now',
  );
}

function exactOf({ bare, reference }: Asked, { version, commit }: Targets): Located['exact'] {
  if (version !== undefined) {
    const { value, sha256 } = version.record;
    return `${value.model}@${value.version}#sha256=${sha256}`;
  }
  if (commit !== undefined) return `git:${commit}`;
  const named = reference.kind === 'path' ? bare : `./${bare}`;
  return (tree) => `${named}#sha256=${tree}`;
}

/** The digest of the tree, where that is known before anything is fetched. */
function treeOf({ workspace }: Session, tracked: readonly Tracked[]): Digest | undefined {
  const [first] = tracked;
  if (tracked.length === 1 && first?.pointer.kind === 'tree') return first.pointer.sha256;
  try {
    return treeDigest(sortEntries(layOut(workspace, tracked)));
  } catch (error) {
    if (isMstoreError(error, 'objects-missing')) return undefined;
    throw error;
  }
}

async function bring(session: Session, tracked: readonly Tracked[]): Promise<Brought> {
  const { workspace, work, warnings } = session;
  if (!isPresent(workspace.store, tracked) && session.hasRemotes) {
    const result = await fetch(workspace, tracked, await askedRemotes(session), work);
    for (const { remote, problems } of result.remotes) {
      for (const { message } of problems) warnings.push(`${remote}: ${message}`);
    }
  }
  return fromStore(
    session,
    tracked.map((item) => withFileLists(workspace.store, item)),
  );
}

/** Makes what the store holds ready to be written. */
export function fromStore({ workspace, work, cwd }: Session, tracked: readonly Tracked[]): Brought {
  const entries = sortEntries(layOut(workspace, tracked));
  return {
    tree: treeDigest(entries),
    entries,
    async write(directory, { force, readOnly }) {
      const how = { ...work, force, readOnly, link: ['copy'], keep: [cwd] } as const;
      await checkoutTo(workspace, tracked, directory, how);
    },
    done: () => {},
  };
}
