import { mapConcurrently } from '../base/concurrency.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import {
  bytesSource,
  type RemoteCallOptions,
  type RemoteProbe,
  type RemotePruner,
  readObject,
} from '../remote/remote.ts';
import { headerKey, probesPrefix } from '../store/keys.ts';
import { firstForeign, readHeader } from '../store/remote-store.ts';
import { noRoles } from './access/policy.ts';
import { checkRole } from './access/role-check.ts';
import { type RoleName, roles } from './access/roles.ts';
import { notAtomic, refusesCondition, rememberAtomicCreate } from './atomic-create.ts';
import {
  CheckList,
  type CheckOutcome,
  type CheckResult,
  checkNames,
  type JudgeFailure,
  throwInterrupted,
} from './check-list.ts';
import { deletionTold, isNotAtomic, lacksRight, lagging, ok } from './check-outcomes.ts';
import { Probes } from './probes.ts';
import type { CheckedRemote } from './remotes.ts';
import type { Workspace } from './workspace.ts';

/** What {@link checkRemote} found. */
export interface RemoteCheckResult {
  readonly remote: string;
  readonly location: string;
  readonly checks: readonly CheckResult[];
}

/** Options of {@link checkRemote}. */
export interface RemoteCheckOptions extends RemoteCallOptions {
  /** Tries reading only, and writes nothing. */
  readonly readOnly?: boolean;
  /** Tries reading, and what a role needs and must not have, in place of writing. */
  readonly role?: RoleName | undefined;
  /** Told of each check as it ends. */
  readonly onCheck?: (check: CheckResult) => void;
}

/**
 * Tries out all that mstore needs of a remote. Nothing is written to a place that is neither a remote nor
 * empty; what is written lies below `probes/` and is deleted again, on failure too. A failure is part of the
 * result and not thrown.
 * @throws MstoreError `interrupted`; `usage` for a role at a place that knows none
 */
export async function checkRemote(
  workspace: Workspace,
  checked: CheckedRemote,
  options: RemoteCheckOptions = {},
): Promise<RemoteCheckResult> {
  if (options.role !== undefined && checked.remote.probe?.mayCreate === undefined) {
    throw noRoles(checked.remote);
  }
  const checks = await new RemoteCheck(workspace, checked, options).run();
  return { remote: checked.name, location: checked.remote.location, checks };
}

const credentialReasons = ['no-credentials', 'bad-credentials', 'expired-credentials'];
const regionReasons = ['no-region', 'wrong-region'];
/** Writers that want one name at the same time. */
const racersMax = 8;
/** Objects that a check looks through for its own. */
const listedMax = 10_000;

class RemoteCheck {
  readonly #list: CheckList;
  readonly #workspace: Workspace;
  readonly #checked: CheckedRemote;
  readonly #remote: RemotePruner;
  readonly #options: RemoteCheckOptions;
  readonly #call: RemoteCallOptions;
  readonly #probes: Probes;
  /** An object that is there with its bytes, once one is known. */
  #sample: { readonly key: string; readonly bytes: Buffer } | undefined;

  constructor(workspace: Workspace, checked: CheckedRemote, options: RemoteCheckOptions) {
    const { clock, random } = workspace.surroundings;
    this.#workspace = workspace;
    this.#checked = checked;
    this.#remote = checked.remote;
    this.#options = options;
    this.#call = { signal: options.signal };
    this.#probes = new Probes(checked.remote, clock, random);
    this.#list = new CheckList(clock, this.#failure, options.onCheck);
  }

  async run(): Promise<readonly CheckResult[]> {
    if (!(await this.#reach())) {
      for (const name of checkNames.slice(3)) this.#list.skip(name, 'the remote was not reached');
      return this.#list.results;
    }
    const header = await this.#header();
    if (header === undefined) await this.#list.try('read', 'read', () => this.#read());
    else this.#list.skip('read', 'there is no header to read');
    const { role } = this.#options;
    if (role !== undefined) return this.#role(role, header);
    const writing = await this.#hindrance(header);
    try {
      const written = await this.#write(writing);
      await this.#list.try('list', 'list', () => this.#listing(written));
      await this.#list.try('range', 'read', () => this.#range());
      await this.#afterWriting(written);
    } finally {
      // After a failure or Ctrl-C; who may not delete was told so by then.
      await this.#probes.remove().catch(() => {});
    }
    return this.#list.results;
  }

  /** Nobody has rights at a place that is no remote, and places without rights by name have no roles. */
  async #role(name: RoleName, header: MstoreError | undefined): Promise<readonly CheckResult[]> {
    if (header !== undefined) return this.#list.results;
    const word = `probe-${this.#workspace.surroundings.random.hex(8)}`;
    await checkRole(this.#list, roles[name], { remote: this.#remote, word, call: this.#call });
    return this.#list.results;
  }

  /** Finds out who we are and whether somebody answers; one failure is told where it belongs. */
  async #reach(): Promise<boolean> {
    const { probe } = this.#remote;
    const answer = await this.#list.timed('reach', undefined, async () => {
      if (probe === undefined) await this.#remote.stat(headerKey, this.#call);
      else await probe.reach(this.#call);
      return ok(await probe?.endpoint(this.#call));
    });
    const reason = answer.error?.details['reason'];
    const kind = credentialReasons.includes(String(reason))
      ? 'identity'
      : regionReasons.includes(String(reason))
        ? 'region'
        : 'reach';
    const failed = answer.error !== undefined;
    const place = async (name: 'identity' | 'region') => {
      const tell = probe?.[name];
      if (failed && kind === name) this.#list.add({ ...answer.result, name });
      else if (tell === undefined) this.#list.skip(name, 'this kind of remote has none');
      else await this.#list.try(name, undefined, async () => ok(await tell(this.#call)));
    };
    await place('identity');
    await place('region');
    if (!failed) this.#list.add(answer.result);
    else if (kind === 'reach') this.#list.add(await this.#withEndpoint(answer.result));
    else this.#list.skip('reach', `see ${kind}`);
    return !failed;
  }

  /** Says where requests went: what the environment names is easily forgotten. */
  async #withEndpoint(result: CheckResult): Promise<CheckResult> {
    const { location, probe } = this.#remote;
    const endpoint = await probe?.endpoint(this.#call).catch(throwInterrupted);
    if (endpoint === undefined || endpoint === location) return result;
    return { ...result, message: `${result.message}; requests go to ${endpoint}` };
  }

  async #header(): Promise<MstoreError | undefined> {
    const { error } = await this.#list.try('header', 'read', async () => {
      const { id } = await readHeader(this.#remote, this.#call);
      return ok(`format 1, id ${id}`);
    });
    return error;
  }

  /** Returns why nothing may be written, or undefined when writing is to be tried. */
  async #hindrance(header: MstoreError | undefined): Promise<string | undefined> {
    if (this.#options.readOnly) return '--read-only';
    if (header === undefined) return undefined;
    if (!isMstoreError(header, 'not-a-remote')) return 'it is not known to be a remote';
    const foreign = await firstForeign(this.#remote, this.#call).catch((failure: unknown) => {
      throwInterrupted(failure);
      return null;
    });
    return foreign === undefined ? undefined : 'it is no remote';
  }

  async #read(): Promise<CheckOutcome> {
    const bytes = await readObject(this.#remote, headerKey, limits.headerBytesMax, this.#call);
    this.#sample = { key: headerKey, bytes };
    await this.#expectSize(headerKey, bytes.length);
    return ok(`${bytes.length} bytes`);
  }

  /** Returns whether objects can be written. */
  async #write(hindrance: string | undefined): Promise<boolean> {
    if (hindrance !== undefined) {
      this.#list.skip('write', hindrance);
      return false;
    }
    const { error } = await this.#list.try('write', 'write', async () => {
      const bytes = Buffer.from(`A check of mstore: ${'0123456789'.repeat(10)}\n`);
      const key = this.#probes.key('write');
      const outcome = await this.#create(key, bytes).catch((failure: unknown) => {
        throw refusesCondition(failure) ? this.#notAtomic('refuses', failure) : failure;
      });
      if (outcome === 'exists') {
        throw this.#wrong(`it says that ${key} is there, which was never written`);
      }
      this.#sample ??= { key, bytes };
      return ok(`${bytes.length} bytes`);
    });
    return error === undefined;
  }

  async #listing(written: boolean): Promise<CheckOutcome> {
    if (!written) {
      const [first] = await this.#keys('', 1);
      return first === undefined && this.#sample !== undefined
        ? lagging('lists nothing')
        : ok(first === undefined ? 'nothing is there' : undefined);
    }
    const key = this.#probes.key('write');
    const keys = await this.#keys(probesPrefix, listedMax);
    return keys.includes(key) || keys.length === listedMax
      ? ok()
      : lagging('does not list what was just written');
  }

  async #keys(prefix: string, max: number): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of this.#remote.list(prefix, this.#call)) {
      keys.push(key);
      if (keys.length === max) break;
    }
    return keys;
  }

  async #range(): Promise<CheckOutcome> {
    if (this.#sample === undefined)
      return { state: 'skipped', message: 'there is no object to read' };
    const { key, bytes } = this.#sample;
    const middle = { start: 5, end: bytes.length - 7 };
    const tail = { start: bytes.length - 3, end: bytes.length };
    for (const range of [middle, tail]) {
      const blocks: Buffer[] = [];
      for await (const block of this.#remote.get(key, range, this.#call))
        blocks.push(Buffer.from(block));
      if (!Buffer.concat(blocks).equals(bytes.subarray(range.start, range.end))) {
        throw this.#wrong(`a range of ${key} has other bytes than the whole object`);
      }
    }
    return ok();
  }

  async #afterWriting(written: boolean): Promise<void> {
    const { probe } = this.#remote;
    if (!written) {
      const why = this.#options.readOnly ? '--read-only' : 'nothing was written';
      for (const name of checkNames.slice(8)) this.#list.skip(name, why);
      return;
    }
    const { error } = await this.#list.try('create-if-absent', 'write', () =>
      this.#createIfAbsent(),
    );
    if (error === undefined) await rememberAtomicCreate(this.#workspace, this.#remote, true);
    if (isNotAtomic(error)) await rememberAtomicCreate(this.#workspace, this.#remote, false);
    if (probe?.createInPartsIfAbsent === undefined) {
      this.#list.skip('parts-if-absent', 'large objects are written as small ones are');
    } else await this.#list.try('parts-if-absent', 'parts', () => this.#partsIfAbsent(probe));
    await this.#list.try('read-after-write', 'read', () => this.#readAfterWrite());
    await this.#list.try('delete', 'delete', () => this.#delete());
  }

  /** One writer after another, then many at once: of each name there must be one. */
  async #createIfAbsent(): Promise<CheckOutcome> {
    const create = this.#remote.probe?.createIfAbsent ?? this.#create;
    await this.#twoWriters('created', create, create);
    const key = this.#probes.key('race');
    const racers = Array.from({ length: racersMax }, (_, i) => Buffer.from(`writer ${i}`));
    const outcomes = await mapConcurrently(racers, racersMax, (bytes) => this.#create(key, bytes));
    const winners = racers.filter((_, i) => outcomes[i] === 'created');
    if (winners.length > 1) throw this.#notAtomic('ignores');
    const [winner] = winners;
    if (winner === undefined)
      throw this.#wrong(`of ${racersMax} writers of one name none was first`);
    await this.#expect(key, winner);
    return ok(`one of ${racersMax} writers at once`);
  }

  async #partsIfAbsent(probe: RemoteProbe): Promise<CheckOutcome> {
    const inParts = probe.createInPartsIfAbsent ?? this.#create;
    await this.#twoWriters('parts', inParts, inParts);
    return ok();
  }

  async #twoWriters(what: string, ...writers: Create[]): Promise<void> {
    const key = this.#probes.key(what);
    try {
      for (const [i, create] of writers.entries()) {
        const outcome = await create(key, Buffer.from(`writer ${i}`), this.#call);
        if (outcome === 'created' && i > 0) throw this.#notAtomic('ignores');
        if (outcome === 'exists' && i === 0) {
          throw this.#wrong(`it says that ${key} is there, which was never written`);
        }
      }
    } catch (error) {
      throw refusesCondition(error) ? this.#notAtomic('refuses', error) : error;
    }
    await this.#expect(key, Buffer.from('writer 0'));
  }

  async #readAfterWrite(): Promise<CheckOutcome> {
    const key = this.#probes.key('read');
    if ((await this.#remote.stat(key, this.#call)) !== undefined) {
      throw this.#wrong(`it says that ${key} is there, which was never written`);
    }
    const bytes = Buffer.from('Read at once');
    await this.#create(key, bytes);
    await this.#expect(key, bytes);
    await this.#expectSize(key, bytes.length);
    return ok();
  }

  async #delete(): Promise<CheckOutcome> {
    const key = this.#probes.key('write');
    const cleared = await this.#probes.clearDead(this.#call);
    await this.#probes.remove(this.#call);
    if ((await this.#remote.stat(key, this.#call)) !== undefined) {
      throw this.#wrong(`${key} is still there after it was deleted`);
    }
    const left = cleared === 0 ? [] : [`also ${cleared} that an earlier check left`];
    const kept = deletionTold(await this.#remote.probe?.retention?.(this.#call));
    const told = [...left, ...kept].join('; ');
    return ok(told === '' ? undefined : told);
  }

  readonly #create: Create = (key, bytes) =>
    this.#remote.create(key, bytesSource(bytes), this.#call);

  async #expect(key: string, bytes: Buffer): Promise<void> {
    const found = await readObject(this.#remote, key, limits.headerBytesMax, this.#call);
    if (!found.equals(bytes)) throw this.#wrong(`${key} has other bytes than were written`);
  }

  async #expectSize(key: string, expected: number): Promise<void> {
    const size = await this.#remote.stat(key, this.#call);
    if (size !== expected) throw this.#wrong(`${key} has ${size} bytes instead of ${expected}`);
  }

  #wrong(what: string): MstoreError {
    return new MstoreError(
      'remote-refused',
      `${this.#remote.location} does not keep its word: ${what}`,
      {
        hint: 'Look at the service and at proxies and caches in between; mstore cannot rest on it as it is',
        details: { reason: 'wrong-answer' },
      },
    );
  }

  #notAtomic(how: 'ignores' | 'refuses', cause?: unknown): MstoreError {
    return notAtomic(this.#checked.name, this.#remote, how, cause);
  }

  /** Says what a failure means, and whether it is one of what pushes and fetches need. */
  readonly #failure: JudgeFailure = (name, right, error) => {
    const { code, message } = error;
    const rights = this.#remote.probe?.rights;
    const asked = lacksRight(error) && right !== undefined && rights !== undefined;
    const hint = asked ? `Ask for ${rights[right]}` : error.hint;
    const told = { code, message, ...(hint === undefined ? {} : { hint }) };
    if (name === 'delete' && lacksRight(error)) {
      const left = `${this.#probes.left} small objects of this check stay below ${probesPrefix}`;
      const needed = `${hint}; garbage collection needs it, pushes and fetches do not. ${left}`;
      return { ...told, state: 'warning', hint: needed };
    }
    if (name === 'delete' && error.details['reason'] === 'retained') {
      return { ...told, state: 'warning' };
    }
    if (!isNotAtomic(error) || !this.#checked.acceptRaces) return { ...told, state: 'failed' };
    return { ...told, state: 'warning', hint: 'The configuration accepts it (accept_races)' };
  };
}

type Create = (
  key: string,
  bytes: Uint8Array,
  options?: RemoteCallOptions,
) => Promise<'created' | 'exists'>;
