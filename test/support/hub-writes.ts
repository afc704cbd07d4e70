import { createHash } from 'node:crypto';

/** A file of a repository: its bytes, and whether it is one of Git LFS. */
export interface HubFile {
  readonly bytes: Buffer;
  readonly lfs: boolean;
}

export type HubTree = ReadonlyMap<string, HubFile>;

/** What a write changes. */
export interface WrittenRepository {
  readonly commits: Map<string, HubTree>;
  readonly refs: Map<string, string>;
}

/** The answer to a write. */
export interface WriteAnswer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

const ok = (body: unknown): WriteAnswer => ({ status: 200, body });

/** Files of this size and more go by Git LFS. */
export const lfsBytesMin = 1000;

/** Takes what is written to the Hub: commits as lines of JSON, large files by the protocol of Git LFS. */
export class HubWrites {
  /** Bytes of large files by their digests. */
  readonly objects = new Map<string, Buffer>();
  readonly #parts = new Map<string, Map<number, Buffer>>();
  /** From this size on a file is sent in parts. */
  partBytesMin = Infinity;
  /** Bytes of a part. */
  partBytes = 100_000;

  /** Answers `preupload`: which files go by Git LFS. */
  preupload(body: Buffer): WriteAnswer {
    const { files } = JSON.parse(body.toString()) as {
      files: Array<{ path: string; size: number }>;
    };
    return ok({
      files: files.map(({ path, size }) => ({
        path,
        uploadMode: size >= lfsBytesMin ? 'lfs' : 'regular',
        shouldIgnore: false,
      })),
    });
  }

  /** Answers a batch of Git LFS: where to send what is not here. */
  batch(body: Buffer, host: string): WriteAnswer {
    const { objects } = JSON.parse(body.toString()) as {
      objects: Array<{ oid: string; size: number }>;
    };
    return ok({
      transfer: objects.some(({ size }) => size >= this.partBytesMin) ? 'multipart' : 'basic',
      objects: objects.map(({ oid, size }) => ({
        oid,
        size,
        ...(this.objects.has(oid) ? {} : { actions: { upload: this.#action(oid, size, host) } }),
      })),
    });
  }

  #action(oid: string, size: number, host: string): object {
    if (size < this.partBytesMin) return { href: `${host}/lfs/${oid}` };
    const parts = Array.from({ length: Math.ceil(size / this.partBytes) }, (_, i) => i + 1);
    const header = {
      chunk_size: String(this.partBytes),
      ...Object.fromEntries(
        parts.map((part) => [String(part).padStart(5, '0'), `${host}/lfs/${oid}?part=${part}`]),
      ),
    };
    return { href: `${host}/lfs/${oid}/complete`, header };
  }

  /** Takes the bytes of a file, or of a part of one. */
  put(oid: string, part: number | undefined, body: Buffer): WriteAnswer {
    if (part === undefined) return this.#keep(oid, body);
    const parts = this.#parts.get(oid) ?? new Map<number, Buffer>();
    this.#parts.set(oid, parts.set(part, body));
    return { status: 200, headers: { etag: `"${md5(body)}"` } };
  }

  /** Joins the parts of a file. */
  complete(body: Buffer): WriteAnswer {
    const { oid, parts } = JSON.parse(body.toString()) as {
      oid: string;
      parts: Array<{ partNumber: number; etag: string }>;
    };
    const blocks = parts.map(({ partNumber, etag }) => {
      const block = this.#parts.get(oid)?.get(partNumber);
      return block !== undefined && etag === `"${md5(block)}"` ? block : undefined;
    });
    if (blocks.includes(undefined)) return { status: 400, body: { error: 'a part is missing' } };
    this.#parts.delete(oid);
    return this.#keep(oid, Buffer.concat(blocks as Buffer[]));
  }

  #keep(oid: string, bytes: Buffer): WriteAnswer {
    const digest = createHash('sha256').update(bytes).digest('hex');
    if (digest !== oid) return { status: 400, body: { error: 'not the bytes of this name' } };
    this.objects.set(oid, bytes);
    return ok({});
  }

  /** Makes a commit on a branch. */
  commit(repository: WrittenRepository, branch: string, body: Buffer, page = ''): WriteAnswer {
    const head = repository.refs.get(branch);
    if (head === undefined) return { status: 404, body: { error: 'no such branch' } };
    const tree = new Map(repository.commits.get(head));
    const lines = body.toString().trim().split('\n');
    for (const line of lines) {
      const { key, value } = JSON.parse(line) as { key: string; value: Record<string, string> };
      const { path = '', content = '', oid = '', parentCommit } = value;
      if (key === 'header') {
        if (parentCommit !== undefined && parentCommit !== head) {
          return { status: 412, body: { error: 'A commit has happened since. Please refresh.' } };
        }
      } else if (key === 'file')
        tree.set(path, { bytes: Buffer.from(content, 'base64'), lfs: false });
      else if (key === 'lfsFile') {
        const bytes = this.objects.get(oid);
        if (bytes?.length !== Number(value['size'])) {
          return { status: 400, body: { error: `Your push was rejected: no LFS object ${oid}` } };
        }
        tree.set(path, { bytes, lfs: true });
      } else if (key === 'deletedFile') {
        if (!tree.delete(path)) return { status: 400, body: { error: `no file ${path}` } };
      } else return { status: 400, body: { error: `no operation ${key}` } };
    }
    const commit = createHash('sha1')
      .update(`${head}\n${lines.join('\n')}`)
      .digest('hex');
    repository.commits.set(commit, tree);
    repository.refs.set(branch, commit);
    return ok({
      success: true,
      commitOid: commit,
      commitUrl: `${page}/commit/${commit}`,
      hookOutput: '',
    });
  }

  /** Names a commit by a branch or tag that there is not. */
  name(repository: WrittenRepository, name: string, revision: string): WriteAnswer {
    if (repository.refs.has(name)) return { status: 409, body: { error: 'Reference exists' } };
    const commit = repository.refs.get(revision) ?? revision;
    if (!repository.commits.has(commit))
      return { status: 404, body: { error: 'no such revision' } };
    repository.refs.set(name, commit);
    return ok({});
  }
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}
