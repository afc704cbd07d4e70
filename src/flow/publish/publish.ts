import * as fs from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { sha256 as digestOf } from '../../base/digest.ts';
import { fromSystemError, MstoreError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import { silentProgress } from '../../base/progress.ts';
import { planHub } from '../../publish/hub.ts';
import { planMlflow } from '../../publish/mlflow.ts';
import type {
  Edition,
  EditionFile,
  Publication,
  Published,
  PublishStep,
} from '../../publish/publication.ts';
import type { FoundVersion } from '../../registry/find.ts';
import { Web, type WebTls } from '../../source/http.ts';
import { hubPlace, isHubOffline } from '../../source/hub-place.ts';
import { MlflowApi } from '../../source/mlflow-api.ts';
import { mlflowPlace } from '../../source/mlflow-place.ts';
import { memoryFile } from '../../weights/byte-reader.ts';
import type { WorkOptions } from '../add.ts';
import type { Targets } from '../targets.ts';
import type { Workspace } from '../workspace.ts';
import { type Destination, parseDestination } from './destination.ts';
import { openEdition } from './edition.ts';
import { aliasName, experimentName, stageName } from './mlflow-names.ts';
import { isOwnCard, modelCard } from './model-card.ts';

/** What is published, and where. */
export interface PublishRequest {
  /** `hf:ORG/NAME[@BRANCH]` or `mlflow:NAME`. */
  readonly to: string;
  /** Tells what would be done, and does nothing. */
  readonly dryRun?: boolean;
  /** Name of the tag on the Hub; the name of the version by default. */
  readonly tag?: string | undefined;
  /** Lets everybody see a repository that is created. */
  readonly isPublic?: boolean;
  /** Absolute path of the template of the model card; else that of `publish.card`, else one of our own. */
  readonly card?: string | undefined;
  /** Replaces a card that was not written by mstore. */
  readonly replaceCard?: boolean;
  /** Template of the name of the experiment in MLflow; else `publish.experiment`, else the name of the model. */
  readonly experiment?: string | undefined;
  /** Aliases that the version has in MLflow from then on. */
  readonly aliases?: readonly string[];
  /** The stage that the version is moved to in MLflow; those in it before are archived. */
  readonly stage?: string | undefined;
}

/** What {@link publish} did, or would do. */
export interface PublishResult extends Partial<Published> {
  readonly to: string;
  readonly model: string;
  readonly version: string;
  /** Digest of the record. */
  readonly sha256: string;
  /** False when all was there already. */
  readonly changed: boolean;
  readonly dryRun: boolean;
  readonly steps: readonly PublishStep[];
  readonly notes: readonly string[];
}

/**
 * Publishes a version of the registry to another service: what is there already is not sent again, what was sent is
 * compared with what the service says that it has. The same version may be published any number of times.
 * @throws MstoreError `usage`, `offline`, `objects-missing`, `version-retired`, `name-taken`, `remote-refused`,
 * `remote-unreachable`, `lost-race`, `corrupt-remote`
 */
export async function publish(
  workspace: Workspace,
  targets: Targets,
  request: PublishRequest,
  { signal, progress = silentProgress }: WorkOptions = {},
): Promise<PublishResult> {
  const destination = parseDestination(request.to);
  const found = publishable(targets);
  checkOnline(workspace, destination, request.to);
  const [content] = targets.tracked;
  if (content === undefined) throw new MstoreError('internal', 'A version has no content');
  const opened = openEdition(workspace, found.record, content);
  try {
    const planning = { workspace, edition: opened.edition, request, signal };
    const publication = await planFor(planning, destination);
    const { steps } = publication;
    const { model, version } = found.record.value;
    const result = {
      to: request.to,
      model,
      version,
      sha256: found.record.sha256,
      changed: steps.length > 0,
      dryRun: request.dryRun ?? false,
      steps,
      notes: [...opened.notes, ...publication.notes],
    };
    if (request.dryRun) return result;
    return { ...result, ...(await publication.run({ signal, progress })) };
  } finally {
    opened.close();
  }
}

/** The version that is meant; what nobody is to use is not published. */
function publishable({ version: found }: Targets): FoundVersion {
  if (found === undefined) {
    throw new MstoreError('usage', 'Only versions of the registry are published', {
      hint: 'Register it first: mstore register MODEL@VERSION PATH; then publish MODEL@VERSION',
    });
  }
  if (found.state !== 'archived') return found;
  const { model, version } = found.record.value;
  throw new MstoreError(
    'version-retired',
    `${model}@${version} is archived: it was taken out of use`,
    {
      hint: `Bring it back with "mstore restore ${model}@${version}", or publish another version`,
      details: { model, version },
    },
  );
}

function checkOnline({ surroundings }: Workspace, { kind }: Destination, to: string): void {
  const isForbidden = kind === 'hf' && isHubOffline(surroundings.env);
  if (!surroundings.offline && !isForbidden) return;
  const why = surroundings.offline ? '--offline' : 'HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE';
  throw new MstoreError(
    'offline',
    `Cannot publish to ${printable(to)}: it needs the network, which ${why} forbids`,
    { hint: 'Publish it where the network may be used' },
  );
}

interface Planning {
  readonly workspace: Workspace;
  readonly edition: Edition;
  readonly request: PublishRequest;
  readonly signal: AbortSignal | undefined;
}

function planFor(planning: Planning, destination: Destination): Promise<Publication> {
  if (destination.kind === 'hf') return planOnHub(planning, destination);
  return planOnMlflow(planning, destination);
}

async function planOnHub(
  { workspace, edition, request, signal }: Planning,
  { repository, branch }: Extract<Destination, { kind: 'hf' }>,
): Promise<Publication> {
  const { env } = workspace.surroundings;
  const place = hubPlace(env, env['HOME'] ?? homedir());
  const target = {
    repository,
    revision: branch,
    tag: tagName(request.tag ?? edition.record.value.version),
    isPublic: request.isPublic ?? false,
    card: await cardOf(workspace, edition, request),
  };
  const [reading, writing] = [webTo(workspace, 'read'), webTo(workspace, 'publish')];
  return planHub(edition, target, { place, reading, writing, signal });
}

async function planOnMlflow(
  { workspace, edition, request, signal }: Planning,
  { model }: Extract<Destination, { kind: 'mlflow' }>,
): Promise<Publication> {
  const { env, clock } = workspace.surroundings;
  const place = mlflowPlace(env, env['HOME'] ?? homedir());
  const template = request.experiment ?? workspace.config.string('publish.experiment') ?? '{model}';
  const target = {
    model,
    experiment: experimentName(template, edition.record.value),
    aliases: (request.aliases ?? []).map(aliasName),
    stage: request.stage === undefined ? undefined : stageName(request.stage),
  };
  const web = webTo(workspace, 'publish', place.tls);
  const api = new MlflowApi(place, web, request.to, 'publish', signal);
  return planMlflow(edition, target, api, () => clock.now());
}

function webTo({ surroundings }: Workspace, act: 'read' | 'publish', tls?: WebTls): Web {
  const { env, clock, random, sleep } = surroundings;
  return new Web({ clock, random, sleep, env, act, tls });
}

/** A name that Git takes for a tag, and that is no commit. */
function tagName(name: string): string {
  const fits = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$/.test(name) && !name.includes('..');
  if (fits && !/\.(?:lock)?$/.test(name) && !/^[0-9a-f]{40}$/.test(name)) return name;
  throw new MstoreError('usage', `A tag on the Hub cannot be named ${printable(name)}`, {
    hint: 'Name one with letters, digits, ".", "_", "+" and "-": --tag NAME',
  });
}

/** The model card, unless the version brings one of its own. */
async function cardOf(
  workspace: Workspace,
  edition: Edition,
  { card, replaceCard = false }: PublishRequest,
): Promise<{ file: EditionFile; mayReplace: (text: string) => boolean } | undefined> {
  const own = edition.files.some(({ path: name }) => name === 'README.md');
  if (own && card === undefined) return undefined;
  if (own) {
    throw new MstoreError(
      'usage',
      'The version has a README.md of its own, and --card names another',
      {
        hint: 'Leave --card out',
      },
    );
  }
  const configured = workspace.config.string('publish.card');
  const place =
    card ?? (configured === undefined ? undefined : path.join(workspace.root, configured));
  const template = place === undefined ? undefined : { name: place, text: textOf(place) };
  const bytes = await modelCard(edition, template);
  const file = {
    path: 'README.md',
    size: bytes.length,
    sha256: digestOf(bytes),
    open: () => memoryFile(bytes),
    read: () => [bytes],
  };
  return { file, mayReplace: (text) => replaceCard || isOwnCard(text) };
}

function textOf(place: string): string {
  try {
    const { size } = fs.statSync(place);
    if (size > limits.metadataBytesMax) {
      throw new MstoreError(
        'too-large',
        `${printable(place)} has ${size} bytes; a template has at most ${limits.metadataBytesMax}`,
      );
    }
    return fs.readFileSync(place, 'utf8');
  } catch (error) {
    throw fromSystemError(error, `reading ${printable(place)}`);
  }
}
