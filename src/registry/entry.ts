import { type Digest, isDigest } from '../base/digest.ts';
import type { MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject } from '../base/json.ts';
import type { LogName } from './keys.ts';
import { registryNameProblem } from './names.ts';
import {
  formatSealed,
  optionalTextIn,
  parseSealed,
  type Sealed,
  textIn,
  timeIn,
} from './sealed.ts';

/** What every entry of a log says. */
interface EntryBase {
  readonly model: string;
  /** Place in its log, from 1. */
  readonly number: number;
  /** When, by the clock of the host that wrote it: ISO 8601 in UTC. The order is that of the numbers. */
  readonly at: string;
  readonly by: string;
  readonly reason?: string;
  /** Whether it was written against the rules of the registry, by --force. */
  readonly forced?: true;
  /** Digest of the entry before it; null in the first. */
  readonly previous: Digest | null;
}

/** What moved an environment. */
export type EnvironmentAction = 'deploy' | 'promote' | 'rollback';

/** One entry of the history of an environment: from then on this version was live. */
export interface EnvironmentEntry extends EntryBase {
  readonly environment: string;
  readonly action: EnvironmentAction;
  readonly version: string;
  /** Digest of the version's record. */
  readonly record: Digest;
  /** The environment that a promotion took the version from. */
  readonly from?: string;
  /** What the gate said. */
  readonly gate?: GateDecision;
  /** What a monitor measured; there where no person but a monitor moved the environment. */
  readonly evidence?: Evidence;
}

/** What made a monitor bring an environment back. */
export interface Evidence {
  /** The rule that was broken, as in the configuration. */
  readonly rule: string;
  /** What was measured, and what the rule allows, in the unit of the rule. */
  readonly value: number;
  readonly limit: number;
  /** Everything that was measured, by name. */
  readonly measured: Readonly<Record<string, number | null>>;
  /** The version that it was compared with. */
  readonly compared_with?: string;
  readonly window_seconds: number;
}

/** The verdict of a gate, in short. */
export interface GateDecision {
  readonly passed: boolean;
  /** Absent where the policy has no weights. */
  readonly score?: number;
  /** The version it was compared with; absent for a first model. */
  readonly rival?: string;
  readonly rival_score?: number;
  /** Score less that of the rival. */
  readonly margin?: number;
  /** Improvement that was asked for. */
  readonly min_improvement?: number;
  /** The policy that was applied. */
  readonly policy?: string;
}

/** States a version can be brought to; `active` is the one it begins in. */
export const versionStates = ['active', 'deprecated', 'archived', 'deleted'] as const;
export type VersionState = (typeof versionStates)[number];

/** One entry of the states of a version. */
export interface StateEntry extends EntryBase {
  readonly version: string;
  readonly state: VersionState;
}

/** An entry of any log. */
export type LogEntry = EnvironmentEntry | StateEntry;

const documentName = 'entry';

/** The bytes of the object that holds an entry. */
export function formatEntry(entry: Sealed<LogEntry>): Buffer {
  return formatSealed(documentName, entry);
}

/**
 * Parses and checks the object of an entry.
 * @param log the log that its key puts it in
 * @param number the number in its key
 * @throws MstoreError `corrupt-registry`, `newer-format`
 */
export function parseEntry(
  bytes: Uint8Array,
  where: string,
  log: LogName,
  number: number,
): Sealed<LogEntry> {
  return parseSealed(documentName, bytes, where, (value, problem) => {
    checkEntry(value, log, problem);
    const name = log.kind === 'environments' ? value['environment'] : value['version'];
    if (value['model'] !== log.model || name !== log.name || value['number'] !== number) {
      throw problem('it is the entry of another place');
    }
    return value as unknown as LogEntry;
  });
}

function checkEntry(
  value: JsonObject,
  { kind }: LogName,
  problem: (what: string) => MstoreError,
): void {
  timeIn(value, 'at', problem);
  textIn(value, 'by', problem);
  optionalTextIn(value, 'reason', problem);
  const { previous, number, forced } = value;
  if (previous !== null && !isDigest(previous)) throw problem('its previous is no digest');
  if ((previous === null) !== (number === 1)) {
    throw problem('the first entry of a log has no previous one, and all others do');
  }
  if (forced !== undefined && forced !== true) throw problem('its forced is not true');
  const version = textIn(value, 'version', problem);
  if (registryNameProblem('version', version) !== undefined)
    throw problem('its version is no name');
  if (kind === 'environments') checkEnvironmentEntry(value, problem);
  else if (!versionStates.includes(value['state'] as VersionState)) {
    throw problem('its state is none that this mstore knows');
  }
}

function checkEnvironmentEntry(value: JsonObject, problem: (what: string) => MstoreError): void {
  if (!['deploy', 'promote', 'rollback'].includes(textIn(value, 'action', problem))) {
    throw problem('its action is none that this mstore knows');
  }
  if (!isDigest(value['record'])) throw problem('its record is no digest');
  optionalTextIn(value, 'from', problem);
  const { gate, evidence } = value;
  if (evidence !== undefined && !(isJsonObject(evidence) && typeof evidence['rule'] === 'string')) {
    throw problem('its evidence names no rule');
  }
  if (gate === undefined) return;
  const fine =
    isJsonObject(gate) &&
    typeof gate['passed'] === 'boolean' &&
    ['number', 'undefined'].includes(typeof gate['score']);
  if (!fine) throw problem('its gate holds no verdict');
}
