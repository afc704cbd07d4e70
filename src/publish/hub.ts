import { isMstoreError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { gitObjectHash } from '../git/object-id.ts';
import type { Web } from '../source/http.ts';
import { type HubLack, type HubModel, openHub } from '../source/hub.ts';
import type { HubPlace } from '../source/hub-place.ts';
import type { Snapshot, SourceFile } from '../source/snapshot.ts';
import { EditionBlob } from './edition-blob.ts';
import { type HubWriting, hubSender, wrongAnswer } from './hub-fetch.ts';
import type {
  Edition,
  EditionFile,
  Publication,
  Published,
  PublishOptions,
  PublishStep,
} from './publication.ts';

/** A file that mstore writes to a repository beside those of a version: its model card. */
export interface HubCard {
  readonly file: EditionFile;
  /** Whether what is there now is a card that may be replaced. */
  readonly mayReplace: (text: string) => boolean;
}

/** What is published where on the Hub. */
export interface HubTarget extends HubModel {
  /** Name of the tag; the revision is a branch. */
  readonly tag: string;
  /** Visibility of a repository that is created. */
  readonly isPublic: boolean;
  readonly card: HubCard | undefined;
}

const cardPath = 'README.md';
/** Bytes of a card that are looked at. */
const cardBytesMax = 4 * 1024 * 1024;
/** Files that the Hub keeps for itself. */
const ownFiles: ReadonlySet<string> = new Set(['.gitattributes']);

/** How the Hub is asked: by one web to read, by another to write. */
export interface HubAsking {
  readonly place: HubPlace;
  readonly reading: Web;
  readonly writing: Web;
  readonly signal: AbortSignal | undefined;
}

/**
 * Finds out what it takes that a tag of a repository on the Hub is a version: its files, a card, and nothing else.
 * @throws MstoreError `name-taken` when the tag is of other files, `remote-refused`, `remote-unreachable`, `usage`
 */
export async function planHub(
  edition: Edition,
  target: HubTarget,
  asking: HubAsking,
): Promise<Publication> {
  const where = `hf:${target.repository}`;
  if (asking.place.token === undefined) {
    throw new MstoreError('usage', `Nothing says who publishes to ${printable(where)}`, {
      hint: 'Set HF_TOKEN to a token that may write there, or run "hf auth login"',
    });
  }
  return new HubPublication(edition, target, asking, where).look();
}

/** What differs between a branch and what it is to be. */
interface Change {
  readonly uploads: readonly EditionFile[];
  readonly card: EditionFile | undefined;
  readonly deletions: readonly string[];
}

class HubPublication implements Publication {
  readonly #edition: Edition;
  readonly #target: HubTarget;
  readonly #asking: HubAsking;
  readonly #where: string;
  readonly #hubUrl: string;
  steps: readonly PublishStep[] = [];
  notes: readonly string[] = [];
  /** Commit that the tag is of, once all is there. */
  #published: string | undefined;

  constructor(edition: Edition, target: HubTarget, asking: HubAsking, where: string) {
    this.#edition = edition;
    this.#target = target;
    this.#asking = asking;
    this.#where = where;
    this.#hubUrl = asking.place.endpoint.href.replace(/\/$/, '');
  }

  /** Compares with what is there. */
  async look(): Promise<this> {
    const { repository, revision, tag } = this.#target;
    const tagged = await this.#open(tag);
    if (tagged !== undefined && tagged !== 'no-repository') {
      const lacks = this.#differences(tagged);
      if (lacks !== undefined) throw this.#tagTaken(lacks);
      this.#published = commitOf(tagged);
      return this;
    }
    const branch = tagged === 'no-repository' ? tagged : await this.#open(revision);
    const visibility = this.#target.isPublic ? 'public' : 'private';
    const steps: PublishStep[] = [];
    if (branch === 'no-repository') {
      steps.push({ act: 'create', what: `${visibility} repository ${repository}` });
    } else if (branch === undefined) steps.push({ act: 'create', what: `branch ${revision}` });
    const change = await this.#change(branch === 'no-repository' ? undefined : branch);
    steps.push(...stepsOf(change), { act: 'tag', what: tag });
    this.steps = steps;
    return this;
  }

  async run({ progress, signal }: PublishOptions): Promise<Published> {
    if (this.#published !== undefined) return this.#result(this.#published, 0);
    const { repository, revision } = this.#target;
    const files = this.steps.filter(({ act }) => act === 'upload' || act === 'write');
    const bytesTotal = files.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
    let bytesSent = 0;
    progress.start('publish', { bytesTotal, filesTotal: files.length });
    const writing: HubWriting = {
      where: this.#where,
      repository,
      place: this.#asking.place,
      web: this.#asking.writing,
      signal,
      sent(bytes) {
        bytesSent += bytes;
        progress.advance({ bytes });
      },
    };
    const { createBranch, createRepo } = await import('../source/hub-sdk.ts');
    const repo = { type: 'model', name: repository } as const;
    const how = { hubUrl: this.#hubUrl, fetch: hubSender(writing) };
    const visibility = this.#target.isPublic ? 'public' : 'private';
    let branch = await this.#open(revision);
    if (branch === 'no-repository') {
      await unlessTaken(() =>
        createRepo({ ...how, repo, visibility, accessToken: undefined as never }),
      );
      branch = await this.#open(revision);
    }
    if (branch === undefined) {
      await unlessTaken(() => createBranch({ ...how, repo, branch: revision }));
      branch = await this.#open(revision);
    }
    if (branch === undefined || branch === 'no-repository') {
      throw wrongAnswer(this.#where, 'what was created there is not to be seen');
    }
    const change = await this.#change(branch);
    const commit =
      stepsOf(change).length === 0
        ? commitOf(branch)
        : await this.#commit(change, commitOf(branch), how, signal);
    await this.#check(commit);
    await this.#tag(commit, how.fetch);
    progress.finish();
    return this.#result(commit, bytesSent);
  }

  /** Opens a revision: undefined when there is none. */
  async #open(revision: string): Promise<Snapshot | 'no-repository' | undefined> {
    const { place, reading, signal } = this.#asking;
    const { repository } = this.#target;
    try {
      return await openHub({ repository, revision }, place, reading, signal);
    } catch (error) {
      if (!isMstoreError(error, 'not-found')) throw error;
      const lacks = error.details['lacks'] as HubLack | undefined;
      return lacks === 'revision' ? undefined : 'no-repository';
    }
  }

  async #change(there: Snapshot | undefined): Promise<Change> {
    const known = new Map((there?.files ?? []).map((file) => [file.path, file]));
    const uploads = this.#edition.files.filter((file) => !isSame(file, known.get(file.path)));
    const wanted = new Set(this.#edition.files.map(({ path }) => path));
    const isLeft = (path: string): boolean =>
      wanted.has(path) || ownFiles.has(path) || path === cardPath;
    const deletions = [...known.keys()].filter((path) => !isLeft(path));
    const card = await this.#cardToWrite(there, known.get(cardPath));
    return { uploads, card, deletions };
  }

  /** The card, unless it is there, or somebody wrote one of their own. */
  async #cardToWrite(
    there: Snapshot | undefined,
    now: SourceFile | undefined,
  ): Promise<EditionFile | undefined> {
    const { card } = this.#target;
    if (card === undefined || isSame(card.file, now)) return undefined;
    if (there === undefined || now === undefined) return card.file;
    if (now.size <= cardBytesMax) {
      const blocks: Uint8Array[] = [];
      for await (const block of there.read(now, 0, { signal: this.#asking.signal })) {
        blocks.push(Uint8Array.from(block));
      }
      if (card.mayReplace(Buffer.concat(blocks).toString('utf8'))) return card.file;
    }
    this.notes = [
      `${cardPath} on the Hub was not written by mstore and is left as it is; --replace-card replaces it`,
    ];
    return undefined;
  }

  /** Says what a listing has other than the version; undefined when nothing. */
  #differences(there: Snapshot): string | undefined {
    const known = new Map(there.files.map((file) => [file.path, file]));
    const wanted = new Set(this.#edition.files.map(({ path }) => path));
    for (const file of this.#edition.files) {
      if (!isSame(file, known.get(file.path))) return `${printable(file.path)} is another there`;
    }
    const more = there.files.find(
      ({ path }) => !wanted.has(path) && !ownFiles.has(path) && path !== cardPath,
    );
    return more && `${printable(more.path)} is no file of the version`;
  }

  async #commit(
    { uploads, card, deletions }: Change,
    parentCommit: string,
    how: { readonly hubUrl: string; readonly fetch: typeof fetch },
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { commit } = await import('../source/hub-sdk.ts');
    const { repository, revision } = this.#target;
    const { model, version, description } = this.#edition.record.value;
    const stop = new AbortController();
    try {
      const made = await commit({
        ...how,
        repo: { type: 'model', name: repository },
        branch: revision,
        title: `${model} ${version}`,
        ...(description === undefined ? {} : { description }),
        parentCommit,
        // The protocol of Git LFS, which every server of the Hub's kind speaks.
        useXet: false,
        abortSignal: signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]),
        operations: [
          ...[...uploads, ...(card === undefined ? [] : [card])].map((file) => ({
            operation: 'addOrUpdate' as const,
            path: file.path,
            content: new EditionBlob(file),
          })),
          ...deletions.map((path) => ({ operation: 'delete' as const, path })),
        ],
      });
      if (made === undefined) throw wrongAnswer(this.#where, 'it does not tell what it made');
      return made.commit.oid;
    } catch (error) {
      // Other files may be on their way.
      stop.abort();
      if (!isMstoreError(error, 'remote-unreachable', 'lost-race')) throw error;
      const now = await this.#open(revision);
      if (now === undefined || now === 'no-repository' || this.#differences(now) !== undefined) {
        throw error;
      }
      // It was made; its answer was lost.
      return commitOf(now);
    }
  }

  /** Holds what is there against what was sent: the Hub tells the digests of its files. */
  async #check(commit: string): Promise<void> {
    const there = await this.#open(commit);
    const wrong =
      there === undefined || there === 'no-repository'
        ? 'its commit is not to be seen'
        : this.#differences(there);
    if (wrong === undefined) return;
    throw new MstoreError(
      'corrupt-remote',
      `${printable(this.#where)} does not hold what was sent: ${wrong}`,
      { hint: 'Run the same command again', details: { source: this.#where, commit } },
    );
  }

  /** Tags a commit, as `create_tag` of huggingface_hub does. */
  async #tag(commit: string, send: typeof fetch): Promise<void> {
    const { repository, tag } = this.#target;
    const { model, version } = this.#edition.record.value;
    const made = await unlessTaken(() =>
      send(`${this.#hubUrl}/api/models/${repository}/tag/${commit}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ tag, message: `${model} ${version}` }),
      }),
    );
    if (made !== undefined) return;
    const tagged = await this.#open(tag);
    const lacks =
      tagged === undefined || tagged === 'no-repository'
        ? 'it is not to be seen'
        : this.#differences(tagged);
    if (lacks !== undefined) throw this.#tagTaken(lacks);
  }

  #tagTaken(lacks: string): MstoreError {
    const { tag } = this.#target;
    return new MstoreError(
      'name-taken',
      `${printable(this.#where)} has the tag ${printable(tag)} already, of other files: ${lacks}`,
      {
        hint: 'Publish it under another name: --tag NAME',
        details: { source: this.#where, name: tag },
      },
    );
  }

  #result(commit: string, bytesSent: number): Published {
    const { repository } = this.#target;
    return {
      reference: `hf:${repository}@${commit}`,
      url: `${this.#hubUrl}/${repository}/tree/${commit}`,
      bytesSent,
    };
  }
}

function stepsOf({ uploads, card, deletions }: Change): PublishStep[] {
  return [
    ...uploads.map(({ path, size }) => ({ act: 'upload' as const, what: path, bytes: size })),
    ...(card === undefined ? [] : [{ act: 'write' as const, what: card.path, bytes: card.size }]),
    ...deletions.map((path) => ({ act: 'delete' as const, what: path })),
  ];
}

function commitOf({ facts }: Snapshot): string {
  return String(facts['commit']);
}

/** Compares a file with what a listing says of it; one that Git keeps is named by the SHA-1 of Git. */
function isSame(file: EditionFile, there: SourceFile | undefined): boolean {
  if (there?.size !== file.size) return false;
  if (there.sha256 !== undefined) return there.sha256 === file.sha256;
  return there.gitBlob === gitBlobOf(file);
}

/** The name that Git gives the bytes of a file. */
function gitBlobOf(file: EditionFile): string {
  const hash = gitObjectHash('blob', file.size);
  const reader = file.open();
  const block = 1024 * 1024;
  for (let at = 0; at < file.size; at += block) {
    hash.update(reader.read(at, Math.min(block, file.size - at)));
  }
  return hash.digest('hex');
}

/** Does what another may have done meanwhile; undefined when that was so. */
async function unlessTaken<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isMstoreError(error, 'name-taken')) return undefined;
    throw error;
  }
}
