import { throwIfAborted } from '../base/abort.ts';
import { isMstoreError, type MstoreError } from '../base/errors.ts';
import { isFileEntry } from '../base/tree.ts';
import { findVersion } from '../registry/find.ts';
import type { Registry } from '../registry/registry.ts';
import { type FileValidation, type Format, validateFile } from '../validate/validate.ts';
import { FarBlobs } from './far-blobs.ts';
import { modelTypeOf } from './info.ts';
import type { RemoteChoice } from './several-remotes.ts';
import { contentOf } from './version-content.ts';
import type { Workspace } from './workspace.ts';

/** Bytes of headers that are read of one file: what is longer is looked into in part. */
const passingBytes = 64 * 1024 * 1024;

/** How a model is. */
export interface ModelHealth {
  readonly model: string;
  /** The model type of `config.json`, else the architecture or the format of its weights; null where nothing tells. */
  readonly model_type: string | null;
  readonly version: string;
  /** `healthy`; `degraded` where something should be known; `unavailable` where it cannot be had or loaded. */
  readonly status: 'healthy' | 'degraded' | 'unavailable';
  /** Whether all bytes can be had: from the local store, or from the remote by its indexes. */
  readonly available: boolean;
  /** Whether its files are of their formats, as far as their headers say. */
  readonly loadable: boolean;
  readonly metadata: {
    readonly version: string;
    /** When it became live, as ISO 8601 in UTC; null where no environment was asked for. */
    readonly deployed_at: string | null;
    readonly environment: string | null;
    readonly state: string;
  };
  /** What is wrong, or should be known. */
  readonly problems: readonly string[];
}

/** What {@link modelHealth} is asked for. */
export interface HealthQuestion {
  readonly model: string;
  /** A version, an environment, or `latest`. */
  readonly selector: string;
  readonly remotes: () => Promise<readonly RemoteChoice[]>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Finds out how a version is where it is: whether all of its bytes can be had, and whether its files are what they are said to
 * be. Nothing is stored; of large files headers alone are read, each chunk of them verified.
 * @throws MstoreError `unknown-model`, `unknown-version`, `remote-unreachable` and the like
 */
export async function modelHealth(
  workspace: Workspace,
  registry: Registry,
  { model, selector, remotes, signal }: HealthQuestion,
): Promise<ModelHealth> {
  const { record, state, by } = await findVersion(registry, model, selector);
  const { version } = record.value;
  const live = by === undefined || by === 'latest' ? undefined : await registry.live(model, by);
  const problems: string[] = [];
  if (state !== 'active') problems.push(`The version is ${state}`);
  const far = new FarBlobs(workspace, { remotes, signal });
  try {
    const looked = await lookInto(far, workspace, record.value, { problems, signal });
    const isUsable = looked.available && looked.loadable;
    const status = !isUsable ? 'unavailable' : problems.length > 0 ? 'degraded' : 'healthy';
    return {
      model,
      model_type: looked.modelType,
      version,
      status,
      available: looked.available,
      loadable: looked.loadable,
      metadata: {
        version,
        deployed_at: live?.value.at ?? null,
        environment: live?.value.environment ?? null,
        state,
      },
      problems,
    };
  } finally {
    far.close();
  }
}

interface Looked {
  readonly available: boolean;
  readonly loadable: boolean;
  readonly modelType: string | null;
}

async function lookInto(
  far: FarBlobs,
  workspace: Workspace,
  record: Parameters<typeof contentOf>[1],
  { problems, signal }: { problems: string[]; signal: AbortSignal | undefined },
): Promise<Looked> {
  const nothing = { available: false, loadable: false, modelType: null };
  let entries: Awaited<ReturnType<FarBlobs['filesOf']>>['entries'];
  try {
    ({ entries } = await far.filesOf(contentOf(workspace.store, record, {})));
  } catch (error) {
    if (!isDamage(error)) throw error;
    problems.push(`The list of its files: ${error.message}`);
    return nothing;
  }
  const seen: FileValidation[] = [];
  let [available, loadable] = [true, true];
  for (const { path, size, sha256 } of entries.filter(isFileEntry)) {
    throwIfAborted(signal);
    const missing = await far.missingBytes(sha256, size);
    if (missing > 0) {
      problems.push(`${path}: ${missing} of its ${size} bytes are not there`);
      available = false;
      continue;
    }
    try {
      const blob = await far.open(sha256, size, path);
      const found = await blob.reading((file) =>
        validateFile(
          { path, size, open: () => ({ ...file, close: () => undefined }) },
          { passingBytes },
        ),
      );
      seen.push(found);
      loadable = judged(found, problems) && loadable;
    } catch (error) {
      if (!isDamage(error)) throw error;
      problems.push(`${path}: ${error.message}`);
      available = false;
    }
  }
  const isModel = seen.some(({ format }) => !passive.has(format));
  if (available && !isModel) problems.push('None of its files is of a format of models');
  return { available, loadable: available && loadable, modelType: modelTypeOf(seen) };
}

/** Formats of what only goes with a model. */
const passive: ReadonlySet<Format> = new Set([
  ...(['config', 'tokenizer', 'shard-index', 'labels', 'code', 'other'] as const),
]);

/** Notes what was found in a file; returns whether it can be loaded. */
function judged({ path, verdict, findings }: FileValidation, problems: string[]): boolean {
  if (verdict === 'ok') return true;
  const [first] = findings;
  problems.push(`${path} is ${verdict}${first === undefined ? '' : `: ${first.message}`}`);
  return verdict !== 'invalid';
}

function isDamage(error: unknown): error is MstoreError {
  if (!isMstoreError(error)) return false;
  return error.code.startsWith('corrupt-') || error.code === 'objects-missing';
}
