import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { programVersion } from '../../base/version.ts';
import {
  type Act,
  type AuditLine,
  AuditLog,
  type LoggedObject,
  lineObjectsMax,
  type NewLine,
} from '../../registry/audit.ts';
import type { Sealed } from '../../registry/sealed.ts';
import type { RemoteWriter } from '../../remote/remote.ts';
import { authorOf } from '../author.ts';
import { problemOf, type RemoteProblem } from '../missing.ts';
import type { Workspace } from '../workspace.ts';
import { LastSeen } from './seen-line.ts';

/** An act that changed the registry of a remote. */
export interface LoggedAct
  extends Pick<NewLine, 'model' | 'version' | 'environment' | 'state' | 'reason' | 'counts'> {
  readonly act: Act;
  /** What it made there; any number. */
  readonly objects: readonly LoggedObject[];
  /** Who acted, where that is not the author that the workspace knows. */
  readonly by?: string | undefined;
}

/**
 * Writes down the acts of a command in the audit log of a remote, each right after it was done: what counts is the
 * registry, and a line that is lacking is told by `mstore audit --check`.
 */
export class ActLog {
  readonly #workspace: Workspace;
  readonly #remote: RemoteWriter;
  readonly #isRequired: boolean;

  constructor(workspace: Workspace, remote: RemoteWriter) {
    this.#workspace = workspace;
    this.#remote = remote;
    this.#isRequired = workspace.config.boolean('audit.required') ?? false;
  }

  /**
   * Prepares for an act that makes objects: begins a log that is not there yet, so that they are younger than it.
   * @throws MstoreError as {@link demand}
   */
  async prepare(): Promise<void> {
    if (this.#isRequired || (await this.#seen()).read() !== undefined) return this.demand();
    try {
      const log = new AuditLog(this.#remote);
      const seen = await this.#seen();
      if ((await seen.findEnd(log)).last === undefined) seen.keep(await this.#begin(log));
    } catch (error) {
      // It is told when the act cannot be logged.
      if (!isMstoreError(error)) throw error;
    }
  }

  /**
   * Where the configuration demands lines, makes sure before an act that one can be written: a service refuses to
   * write over the last line for want of the right to write, or because it is there.
   * @throws MstoreError `not-logged`
   */
  async demand(): Promise<void> {
    if (!this.#isRequired) return;
    try {
      const log = new AuditLog(this.#remote);
      const { last, problem } = await (await this.#seen()).findEnd(log);
      if (problem !== undefined) throw problem;
      if (last === undefined) await this.#begin(log);
      else await log.create(last);
    } catch (error) {
      if (!isMstoreError(error)) throw error;
      throw notLogged(error, 'Nothing was done, as it could not be logged');
    }
  }

  /**
   * Logs an act that was done. It is not broken off: the act stands.
   * @returns what is to be told where it could not be logged, or where the log is not the one that was seen
   * @throws MstoreError `not-logged` where the configuration demands a line
   */
  async log(act: LoggedAct): Promise<readonly RemoteProblem[]> {
    try {
      return await this.#write(act);
    } catch (error) {
      if (!isMstoreError(error)) throw error;
      const failure = notLogged(error, 'It was done, but could not be logged');
      if (this.#isRequired) throw failure;
      return [problemOf(failure)];
    }
  }

  async #write({ objects, by, ...rest }: LoggedAct): Promise<readonly RemoteProblem[]> {
    const log = new AuditLog(this.#remote);
    const seen = await this.#seen();
    const end = await seen.findEnd(log);
    let last = end.last ?? (await this.#begin(log, by));
    for (const part of partsOf(objects)) {
      const line = { ...(await this.#head(by)), ...given(rest), act: rest.act };
      last = await log.append(part.length === 0 ? line : { ...line, objects: part }, last);
    }
    if (end.problem !== undefined) return [problemOf(end.problem)];
    seen.keep(last);
    return [];
  }

  /** The first line says when the log begins: what was there before has none. */
  async #begin(log: AuditLog, by?: string): Promise<Sealed<AuditLine>> {
    return log.begin({ ...(await this.#head(by)), act: 'begin' });
  }

  async #head(by: string | undefined): Promise<Pick<NewLine, 'at' | 'by' | 'tool'>> {
    return {
      at: new Date(this.#workspace.surroundings.clock.now()).toISOString(),
      by: by ?? (await authorOf(this.#workspace)),
      tool: `mstore ${programVersion()}`,
    };
  }

  #seen(): Promise<LastSeen> {
    return LastSeen.of(this.#workspace, this.#remote);
  }
}

/** Leaves out what is not said. */
function given(act: Omit<LoggedAct, 'objects' | 'by' | 'act'>): Partial<NewLine> {
  const { model, version, environment, state, reason, counts } = act;
  return {
    ...(model === undefined ? {} : { model }),
    ...(version === undefined ? {} : { version }),
    ...(environment === undefined ? {} : { environment }),
    ...(state === undefined ? {} : { state }),
    ...(reason === undefined ? {} : { reason }),
    ...(counts === undefined ? {} : { counts }),
  };
}

/** What each line names; an act that made nothing has one line all the same. */
function partsOf(objects: readonly LoggedObject[]): Array<readonly LoggedObject[]> {
  const parts: Array<readonly LoggedObject[]> = [objects.slice(0, lineObjectsMax)];
  for (let i = lineObjectsMax; i < objects.length; i += lineObjectsMax) {
    parts.push(objects.slice(i, i + lineObjectsMax));
  }
  return parts;
}

function notLogged(cause: MstoreError, what: string): MstoreError {
  return new MstoreError('not-logged', `${what}: ${cause.message}`, {
    hint: 'Have the right to create objects below audit/ there ("mstore remote policy" prints it); "mstore audit --check" tells what has no line',
    details: { ...cause.details, cause: cause.code },
    cause,
  });
}
