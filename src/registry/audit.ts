import { type Digest, isDigest, sha256 } from '../base/digest.ts';
import { invariant, isMstoreError, MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import { isKeyName, reservedName } from '../remote/keys.ts';
import {
  bytesSource,
  type RemoteCallOptions,
  type RemoteWriter,
  readObject,
} from '../remote/remote.ts';
import {
  formatSealed,
  isSealed,
  optionalTextIn,
  parseSealed,
  type Sealed,
  seal,
  textIn,
  timeIn,
} from './sealed.ts';

/*
 * The audit log of a remote: one chain of lines for all acts that change its registry.
 *
 *   audit/FOLDER/NUMBER.json
 *
 * NUMBER has eight digits and starts at 1; FOLDER is its first four, so that no folder has more than 10,000.
 */

/** All that belongs to the audit log is below this. */
export const auditPrefix = 'audit/';

const suffix = '.json';
const folderDigits = 4;
const numberDigits = 8;
const numberMax = 10 ** numberDigits - 1;

/** Objects that one line names; an act that made more is told in several. */
export const lineObjectsMax = 256;

/** Writers that may be faster in a row before a line is given up. */
const triesMax = 100;

/** What this version writes of; it reads others, too. */
export type Act =
  | 'begin'
  | 'push'
  | 'deploy'
  | 'promote'
  | 'rollback'
  | 'state'
  | 'sign'
  | 'recipients'
  | 'rekey'
  | 'gc'
  | 'repair';

/** An object of the remote as an act left it. */
export interface LoggedObject {
  readonly key: string;
  /** The digest of its document, see {@link objectDigest}. */
  readonly sha256: Digest;
}

/** One line of the log: who did what, when, and to what. */
export interface AuditLine {
  /** Place in the log, from 1. */
  readonly number: number;
  /** When, by the clock of the host that wrote it: ISO 8601 in UTC. The order is that of the numbers. */
  readonly at: string;
  readonly by: string;
  /** The program and its version. */
  readonly tool: string;
  /** One of {@link Act}, or one of a later version. */
  readonly act: string;
  readonly model?: string;
  readonly version?: string;
  readonly environment?: string;
  /** What a version became. */
  readonly state?: string;
  readonly reason?: string;
  /** What the act made. */
  readonly objects?: readonly LoggedObject[];
  /** Amounts of it, by name. */
  readonly counts?: Readonly<Record<string, number>>;
  /** Digest of the line before it; null in the first. */
  readonly previous: Digest | null;
}

/** What a new line says, beside its place in the log. */
export type NewLine = Omit<AuditLine, 'number' | 'previous'>;

/** A line that was seen: from it on the log is known. */
export type SeenLine = Pick<AuditLine, 'number'> & { readonly sha256: Digest };

const documentName = 'line';

/** Returns the key of a line. */
export function auditKey(number: number): string {
  invariant(
    Number.isInteger(number) && number >= 1 && number <= numberMax,
    'the number of a line of the audit log',
  );
  const digits = String(number).padStart(numberDigits, '0');
  return `${auditPrefix}${digits.slice(0, folderDigits)}/${digits}${suffix}`;
}

/** Returns the number of the line that a key names; undefined for a key of no line. */
export function parseAuditKey(key: string): number | undefined {
  const digits = /^audit\/\d{4}\/(\d{8})\.json$/.exec(key)?.[1];
  const number = Number(digits ?? 0);
  return number > 0 && auditKey(number) === key ? number : undefined;
}

/** The bytes of the object that holds a line. */
export function formatLine(line: Sealed<AuditLine>): Buffer {
  return formatSealed(documentName, line);
}

/**
 * Parses and checks the object of a line.
 * @param number the one in its key
 * @throws MstoreError `corrupt-audit`, `newer-format`
 */
export function parseLine(bytes: Uint8Array, where: string, number: number): Sealed<AuditLine> {
  try {
    return parseSealed(documentName, bytes, where, (value, problem) => {
      checkLine(value, problem);
      if (value['number'] !== number) throw problem('it is the line of another place');
      return value as unknown as AuditLine;
    });
  } catch (error) {
    if (!isMstoreError(error, 'corrupt-registry')) throw error;
    throw corruptAudit(error.message, { path: where, line: number }, error);
  }
}

function checkLine(value: JsonObject, problem: (what: string) => MstoreError): void {
  timeIn(value, 'at', problem);
  textIn(value, 'by', problem);
  textIn(value, 'tool', problem);
  if (!/^[a-z][a-z-]{0,31}$/.test(textIn(value, 'act', problem))) {
    throw problem('its act is no name of one');
  }
  for (const key of ['model', 'version', 'environment', 'state', 'reason']) {
    optionalTextIn(value, key, problem);
  }
  const { previous, number, objects = [], counts = {} } = value;
  if (previous !== null && !isDigest(previous)) throw problem('its previous is no digest');
  if ((previous === null) !== (number === 1)) {
    throw problem('the first line of a log has no previous one, and all others do');
  }
  if (!Array.isArray(objects) || objects.length > lineObjectsMax || !objects.every(isLogged)) {
    throw problem('its objects are no list of keys and digests');
  }
  const isCounted = isJsonObject(counts) && Object.values(counts).every(Number.isFinite);
  if (!isCounted) throw problem('its counts are no numbers by name');
}

function isLogged(value: unknown): boolean {
  if (!isJsonObject(value) || !isDigest(value['sha256'])) return false;
  const names = String(value['key']).split('/');
  return names.every(isKeyName) && names[0] !== reservedName;
}

/**
 * The digest by which the log knows an object: the one that an object of the registry carries of its document, so that
 * what is written beside the document counts for itself; of all other bytes, and of such that do not fit their
 * digest, their own.
 */
export function objectDigest(bytes: Uint8Array): Digest {
  if (!isSealed(bytes)) return sha256(bytes);
  return (parseJsonBytes(bytes) as { sha256: Digest }).sha256;
}

/** Builds the error of a log that was changed afterwards, or damaged. */
export function corruptAudit(
  what: string,
  details: { readonly path?: string; readonly line?: number } = {},
  cause?: unknown,
): MstoreError {
  return new MstoreError('corrupt-audit', what, {
    hint: 'Lines are never changed or removed: find out who may write below audit/ there, and run "mstore audit --check"',
    details,
    cause,
  });
}

/** The audit log in one place. Lines are created once and never changed. */
export class AuditLog {
  readonly place: RemoteWriter;
  readonly #options: RemoteCallOptions;

  constructor(place: RemoteWriter, options: RemoteCallOptions = {}) {
    this.place = place;
    this.#options = options;
  }

  /**
   * Reads a line; undefined where there is none.
   * @throws MstoreError `corrupt-audit`
   */
  async find(number: number): Promise<Sealed<AuditLine> | undefined> {
    const key = auditKey(number);
    const where = `${this.place.location}/${key}`;
    try {
      const bytes = await readObject(this.place, key, limits.registryObjectBytesMax, this.#options);
      return parseLine(bytes, where, number);
    } catch (error) {
      if (isMstoreError(error, 'not-found')) return undefined;
      if (!isMstoreError(error, 'corrupt-remote')) throw error;
      throw corruptAudit(error.message, { path: where, line: number }, error);
    }
  }

  /**
   * Reads a line that must be there.
   * @throws MstoreError `corrupt-audit`
   */
  async line(number: number): Promise<Sealed<AuditLine>> {
    const line = await this.find(number);
    if (line !== undefined) return line;
    const where = `${this.place.location}/${auditKey(number)}`;
    throw corruptAudit(`${printable(where)} is gone: the log had that line`, {
      path: where,
      line: number,
    });
  }

  /**
   * Finds the number of the last line, 0 for none: by twice the logarithm of its distance in requests, as a listing
   * would grow with the log.
   * @param from a line that is there, or 0
   */
  async lastNumber(from: number): Promise<number> {
    let known = from;
    let beyond = numberMax + 1;
    for (let step = 1; known + step < beyond; step *= 2) {
      if (await this.#has(known + step)) known += step;
      else beyond = known + step;
    }
    while (known + 1 < beyond) {
      const middle = Math.floor((known + beyond) / 2);
      if (await this.#has(middle)) known = middle;
      else beyond = middle;
    }
    return known;
  }

  /**
   * Writes the first line.
   * @returns the last one: what somebody else wrote meanwhile, where they were faster
   */
  async begin(draft: NewLine): Promise<Sealed<AuditLine>> {
    const line = seal<AuditLine>({ ...draft, number: 1, previous: null });
    if ((await this.create(line)) === 'created') return line;
    return this.line(await this.lastNumber(1));
  }

  /**
   * Appends a line; where others are faster, behind theirs.
   * @param after the line that was the last one a moment ago
   * @throws MstoreError `locked` where others are always faster, `corrupt-audit`
   */
  async append(draft: NewLine, after: Sealed<AuditLine> | undefined): Promise<Sealed<AuditLine>> {
    let before = after;
    for (let tries = 0; tries < triesMax; tries++) {
      const number = (before?.value.number ?? 0) + 1;
      if (number > numberMax) throw full(this.place);
      const line = seal<AuditLine>({ ...draft, number, previous: before?.sha256 ?? null });
      if ((await this.create(line)) === 'created') return line;
      before = await this.line(await this.lastNumber(number));
    }
    throw new MstoreError(
      'locked',
      `Others keep writing to the audit log of ${this.place.location}`,
      {
        hint: 'Try again when fewer hosts act there at once',
      },
    );
  }

  /** Stores a line as it is, at its place. */
  create(line: Sealed<AuditLine>): Promise<'created' | 'exists'> {
    const key = auditKey(line.value.number);
    return this.place.create(key, bytesSource(formatLine(line)), this.#options);
  }

  async #has(number: number): Promise<boolean> {
    if (number > numberMax) return false;
    return (await this.place.stat(auditKey(number), this.#options)) !== undefined;
  }
}

function full({ location }: RemoteWriter): MstoreError {
  return new MstoreError('too-large', `The audit log of ${location} has as many lines as can be`, {
    hint: 'Begin a new remote',
  });
}
