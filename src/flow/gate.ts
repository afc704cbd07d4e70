import * as path from 'node:path';
import { fromSystemError, isMstoreError, MstoreError } from '../base/errors.ts';
import { ensureFolder, writeAtomically } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import { programVersion } from '../base/version.ts';
import type { GateDecision } from '../registry/entry.ts';
import { findVersion } from '../registry/find.ts';
import { type Contender, judge, type Rivals, type Verdict } from '../registry/gate.ts';
import { type GateFacts, gateFiles, verdictSentence } from '../registry/gate-report.ts';
import type { Metrics } from '../registry/metrics.ts';
import { checkRegistryName } from '../registry/names.ts';
import { findPolicy, type Policy, policyNames } from '../registry/policy.ts';
import type { VersionRecord } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import { corruptRegistry } from '../registry/sealed.ts';
import type { Config } from '../worktree/config.ts';
import { type ChangeOptions, DecidingRegistry } from './deciding-registry.ts';
import type { Workspace } from './workspace.ts';

/** What is judged. */
export interface GateTarget {
  readonly record: VersionRecord;
  readonly environment: string;
  /** Metrics to be judged in place of those of the record. */
  readonly results?: Metrics | undefined;
}

/**
 * Judges a version by the policy of an environment, against what was live there.
 * @returns undefined where no policy applies
 * @throws MstoreError `config-invalid` for a policy that cannot be applied, `bad-metrics` for metrics that cannot be
 * compared, `unknown-version` where the policy names a version that is not there
 */
async function gateFor(
  registry: Registry,
  config: Config,
  { record, environment, results }: GateTarget,
): Promise<Verdict | undefined> {
  const { value, file } = config.policies;
  const policy = findPolicy(value, file, record.model, environment);
  if (policy === undefined) return undefined;
  const rivals = await rivalsOf(registry, policy, record, environment);
  return judge(policy, { version: record.version, metrics: results ?? record.metrics }, rivals);
}

/** Reads the versions that the policy compares with, and no others. */
async function rivalsOf(
  registry: Registry,
  policy: Policy,
  { model, version }: VersionRecord,
  environment: string,
): Promise<Rivals> {
  const { compareWith } = policy;
  if (compareWith === 'best') return { history: await pastOf(registry, model, environment) };
  if (compareWith === 'live') {
    const live = await registry.live(model, environment);
    if (live === undefined) return { history: [] };
    const [contender] = await contenders(registry, model, [live.value]);
    return { history: [], ...(contender && { live: contender }) };
  }
  if (compareWith === version) return { history: [] };
  return { history: [], named: await namedRival(registry, policy, model) };
}

/** Lists all that was ever live in an environment and was not deprecated or deleted since, the first one first. */
async function pastOf(
  registry: Registry,
  model: string,
  environment: string,
): Promise<readonly Contender[]> {
  const [history, names] = await Promise.all([
    registry.history(model, environment),
    registry.namesOf(model),
  ]);
  const states = await registry.states(names);
  const last = new Map(history.map(({ value }) => [value.version, value]));
  const counted = [...last.values()].filter(
    ({ version }) => !['deprecated', 'deleted'].includes(states.get(version) ?? 'active'),
  );
  return contenders(registry, model, counted);
}

/** Reads the metrics of versions, and makes sure that the records are those that were live. */
async function contenders(
  registry: Registry,
  model: string,
  entries: ReadonlyArray<{ readonly version: string; readonly record: string }>,
): Promise<readonly Contender[]> {
  const records = await registry.records(
    model,
    entries.map(({ version }) => version),
  );
  return records.map(({ sha256, value: { version, metrics } }, i) => {
    if (sha256 === entries[i]?.record) return { version, metrics };
    throw corruptRegistry(
      `${registry.place.location}: ${model}@${version}`,
      'its record is another one than that which was live',
    );
  });
}

async function namedRival(registry: Registry, policy: Policy, model: string): Promise<Contender> {
  const { name, compareWith } = policy;
  const { versions } = await registry.namesOf(model);
  const unknown = (): MstoreError => {
    const near = nearest(compareWith, [...versions]);
    return new MstoreError(
      'unknown-version',
      `The policy ${name} compares with ${compareWith}, which is no version of ${model} in ${registry.place.location}`,
      {
        hint: near === undefined ? 'Correct its compare_with' : `Did you mean ${near}?`,
        details: { model, name: compareWith },
      },
    );
  };
  if (!versions.has(compareWith)) throw unknown();
  const { record } = await findVersion(registry, model, compareWith);
  return { version: record.value.version, metrics: record.value.metrics };
}

/** Shortens a verdict to what the history of an environment keeps of it. */
function gateDecision(verdict: Verdict): GateDecision {
  const { passed, policy, score, rival, rivalScore, margin, minImprovement } = verdict;
  return {
    passed,
    policy,
    ...(score === undefined ? {} : { score }),
    ...(rival === undefined ? {} : { rival }),
    ...(rivalScore === undefined ? {} : { rival_score: rivalScore }),
    ...(margin === undefined ? {} : { margin }),
    ...(minImprovement === undefined ? {} : { min_improvement: minImprovement }),
  };
}

/** What a gate that was passed has to say. */
export interface PassedGate {
  /** For the history; absent where no policy applies, or it could not be applied. */
  readonly decision?: GateDecision;
  /** What was passed by force. */
  readonly warnings?: readonly string[];
}

/**
 * Asks the gate of an environment whether a version may go there.
 * @param force passes a refusal, and metrics that cannot be compared; both are told
 * @throws MstoreError `gate-refused`, and as {@link gateFor}
 */
export async function passGate(
  registry: Registry,
  config: Config,
  target: GateTarget,
  force: boolean,
): Promise<PassedGate> {
  const { record, environment } = target;
  try {
    const verdict = await gateFor(registry, config, target);
    if (verdict === undefined) return {};
    const decision = gateDecision(verdict);
    if (verdict.passed) return { decision };
    const refused = gateRefused(verdict, record.model, environment);
    if (!force) throw refused;
    return { decision, warnings: [`passed by force: ${refused.message}`] };
  } catch (error) {
    if (!force || !isMstoreError(error, 'bad-metrics')) throw error;
    return { warnings: [`passed by force: the gate could not judge, as ${error.message}`] };
  }
}

/** Builds the error of a version that a gate keeps out. */
function gateRefused(verdict: Verdict, model: string, environment: string): MstoreError {
  const { version, policy, score, rival, margin } = verdict;
  const reasons = verdictSentence(verdict, environment).replace(/^refused: /, '');
  const name = `${model}@${version}`;
  return new MstoreError('gate-refused', `The gate of ${environment} refuses ${name}: ${reasons}`, {
    hint: `Look at "mstore gate ${name} --env ${environment}", or pass it with --force --reason TEXT`,
    details: { model, version, environment, policy, score, rival, margin },
  });
}

/** Options of {@link gate}. */
export interface GateOptions extends Pick<ChangeOptions, 'remote' | 'signal' | 'jobs'> {
  /** Metrics to be judged in place of those of the version. */
  readonly results?: Metrics | undefined;
  /** Where they come from, as it was given. */
  readonly resultsFrom?: string | undefined;
  /** Absolute folder for the files that tell of the verdict; made where it is not there. */
  readonly outputFolder?: string | undefined;
}

/** What {@link gate} found. */
export interface GateResult {
  readonly verdict: Verdict;
  readonly facts: GateFacts;
  /** Absolute paths of the files that were written. */
  readonly files: readonly string[];
}

/**
 * Judges a version as a deployment would, and changes nothing in the registry that counts. A refusal is no error here.
 * @param target a version, an environment whose version is meant, or `latest`
 * @throws MstoreError `not-found` where no policy applies, and as {@link gateFor}
 */
export async function gate(
  workspace: Workspace,
  target: { readonly model: string; readonly version: string; readonly environment: string },
  options: GateOptions = {},
): Promise<GateResult> {
  const { model, environment } = target;
  checkRegistryName('environment', environment);
  const { config, surroundings } = workspace;
  const { remote, signal, jobs } = options;
  const deciding = await DecidingRegistry.open(workspace, model, { remote, signal, jobs });
  const { record } = await deciding.find(model, target.version);
  const verdict = await gateFor(deciding.registry, config, {
    record: record.value,
    environment,
    results: options.results,
  });
  if (verdict === undefined) throw noPolicy(config, model, environment);
  const facts: GateFacts = {
    model,
    environment,
    record: record.sha256,
    ...(options.resultsFrom === undefined ? {} : { results: options.resultsFrom }),
    at: new Date(surroundings.clock.now()).toISOString(),
    tool: `mstore ${programVersion()}`,
  };
  const { outputFolder } = options;
  const files = outputFolder === undefined ? [] : writeGateFiles(outputFolder, verdict, facts);
  return { verdict, facts, files };
}

function noPolicy({ policies: { value, file } }: Config, model: string, environment: string) {
  const names = policyNames(value, file);
  const wanted = `${model}@${environment}`;
  const near = nearest(environment, names) ?? nearest(wanted, names);
  return new MstoreError('not-found', `No policy applies to ${model} in ${environment}`, {
    hint:
      near !== undefined
        ? `There is one for ${near}; did you mean that?`
        : `Write [policy.${/^[a-z0-9_-]+$/.test(environment) ? environment : JSON.stringify(environment)}] into ${printable(file)}`,
    details: { model, environment, policies: names },
  });
}

/** Writes the files that tell of a verdict, each whole or not at all, the decision last. */
function writeGateFiles(folder: string, verdict: Verdict, facts: GateFacts): string[] {
  try {
    ensureFolder(folder);
  } catch (error) {
    throw fromSystemError(error, `making ${printable(folder)}`);
  }
  const files = Object.entries(gateFiles(verdict, facts)).reverse();
  for (const [name, text] of files) writeAtomically(path.join(folder, name), text);
  return files.map(([name]) => path.join(folder, name)).reverse();
}
