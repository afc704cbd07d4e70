import * as path from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { printable } from '../../base/names.ts';
import type { EnvironmentEntry } from '../../registry/entry.ts';
import { type FoundVersion, findVersion } from '../../registry/find.ts';
import type { VersionRecord } from '../../registry/record.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Sealed } from '../../registry/sealed.ts';
import {
  parseTrust,
  ruleFor,
  type SignerKey,
  type SignerRule,
  type TrustRule,
} from '../../registry/trust-rules.ts';
import { type Bundle, bundleIn, parseBundle, signBundle } from '../../signing/bundle.ts';
import { checkSignature, type Trust } from '../../signing/check.ts';
import { formatEntryStatement, parseEntryStatement } from '../../signing/entry-statement.ts';
import { parseStatement, type Statement } from '../../signing/statement.ts';
import { readConfigFile } from '../../worktree/config-file.ts';
import type { FarOptions } from '../far-blobs.ts';
import type { Workspace } from '../workspace.ts';
import { contentProblem, versionProblem } from './signed-content.ts';
import { type KeyPlace, openSignerIfNamed } from './signing-key.ts';
import { trustOf } from './trusted-keys.ts';

/** The variable that names a file with the tables `signers` and `trust`, for hosts that do not go by a repository. */
const trustVariable = 'MSTORE_TRUST';

/** Makes the signature that an entry carries. */
export type EntrySigner = (entry: Sealed<EnvironmentEntry>) => Promise<JsonObject>;

/** Signatures of one version that are looked at: whoever may write to a remote can add any number. */
const signaturesMax = 1000;

/** Why signatures did not count that are named in an error. */
const reasonsShown = 3;

/**
 * Who must have signed what, by the rules of the committed configuration, or of the file that `MSTORE_TRUST` names, which
 * then counts alone. Without a rule for an environment nothing is asked; with one, what is not proven is refused.
 */
export class TrustPolicy {
  readonly #workspace: Workspace;
  readonly #rules: ReadonlyMap<string, TrustRule>;
  /** Folder that files of keys start from. */
  readonly #folder: string;
  /** Keys that were read. */
  readonly #trusted = new Map<SignerKey, Trust>();

  private constructor(workspace: Workspace, rules: ReadonlyMap<string, TrustRule>, folder: string) {
    this.#workspace = workspace;
    this.#rules = rules;
    this.#folder = folder;
  }

  /**
   * Reads the rules.
   * @throws MstoreError `config-invalid`, `not-found`
   */
  static of(workspace: Workspace): TrustPolicy {
    const { config, root, surroundings } = workspace;
    const named = surroundings.env[trustVariable] || undefined;
    if (named === undefined) {
      const { signers, trust } = config;
      const rules = parseTrust({ signers: signers.value, trust: trust.value, file: trust.file });
      return new TrustPolicy(workspace, rules, root);
    }
    if (!path.isAbsolute(named)) {
      throw new MstoreError('usage', `${trustVariable} names no absolute path`, {
        hint: 'Write the whole path: what folder a command starts in must not decide who is trusted',
      });
    }
    const file = path.normalize(named);
    const { signers, trust } = readConfigFile(file);
    if (trust === undefined) {
      throw new MstoreError('config-invalid', `${printable(file)} holds no rule of trust`, {
        hint: `Write [trust.ENVIRONMENT] there, or unset ${trustVariable}`,
        details: { path: file },
      });
    }
    return new TrustPolicy(workspace, parseTrust({ signers, trust, file }), path.dirname(file));
  }

  /**
   * Makes sure that a version may be live in an environment: that those signed it who have to.
   * @param registry where its signatures are looked for
   * @throws MstoreError `untrusted`
   */
  async requireVersion(
    registry: Registry,
    record: Sealed<VersionRecord>,
    environment: string,
    options: FarOptions = {},
  ): Promise<void> {
    const { model, version } = record.value;
    const rule = ruleFor(this.#rules, model, environment);
    if (rule === undefined || rule.signers.length === 0) return;
    const reasons: string[] = [];
    const names = await registry.signatures(model, version);
    const wanting = new Map(rule.signers.map((signer) => [signer.name, signer]));
    for (const sha256 of names.slice(0, signaturesMax)) {
      const found = await this.#signersOf(registry, record, sha256, { rule, wanting, options });
      if (typeof found === 'string') reasons.push(found);
      else for (const name of found) wanting.delete(name);
      if (rule.signers.length - wanting.size >= rule.required) return;
    }
    const there = rule.signers.length - wanting.size;
    throw this.#refusal(
      `${model}@${version} may not be live in ${printable(environment)}: ${there} of ${rule.required} signatures that ${rule.name} asks for are there, of ${namesOf(rule.signers)}${told(reasons)}`,
      { model, version, environment },
    );
  }

  /** Finds out who of those who are wanting made a signature; or why it counts for nothing. */
  async #signersOf(
    registry: Registry,
    record: Sealed<VersionRecord>,
    sha256: Digest,
    asked: {
      readonly rule: TrustRule;
      readonly wanting: ReadonlyMap<string, SignerRule>;
      readonly options: FarOptions;
    },
  ): Promise<readonly string[] | string> {
    const { model, version } = record.value;
    const name = `the signature ${sha256.slice(0, 12)}`;
    try {
      const bytes = await registry.signature(model, version, sha256);
      const bundle = parseBundle(bytes, name);
      // It lists all files: nobody reads it who is not trusted, and once is enough.
      let read: Statement | undefined;
      const statementOf = (): Statement => {
        read ??= parseStatement(bundle);
        return read;
      };
      const problems: string[] = [];
      const found: string[] = [];
      for (const signer of asked.wanting.values()) {
        const problem = await this.#problemOf(bundle, signer, () => ({
          signed: statementOf().version?.signed,
        }));
        if (problem === undefined) found.push(signer.name);
        else problems.push(problem);
      }
      if (found.length === 0)
        return `${name}: ${problems.at(-1) ?? 'its signer has signed already'}`;
      const statement = statementOf();
      if (statement.version === undefined && !asked.rule.foreign) {
        return `${name}: it is of files, and not of this version (foreign = true lets it count)`;
      }
      // The digest of the record covers all content: files are compared only where a signature does not name it.
      const problem =
        statement.version === undefined
          ? await contentProblem(this.#workspace, record, bundle, statement, asked.options)
          : versionProblem(record, statement.version);
      return problem === undefined ? found : `${name}: ${problem}`;
    } catch (error) {
      if (!isMstoreError(error, 'bad-signature', 'too-large', 'corrupt-registry')) throw error;
      return error.message;
    }
  }

  /** Says why a bundle is not one of a signer that counts now; undefined where it is. */
  async #problemOf(
    bundle: Bundle,
    { name, keys }: SignerRule,
    said: () => { readonly signed: string | undefined },
  ): Promise<string | undefined> {
    let problem = `it is not of ${printable(name)}`;
    for (const key of keys) {
      const checked = await checkSignature(bundle, [this.#trustOf(key)]);
      if ('problem' in checked) continue;
      // What a log proves counts before what the signer says.
      const late = this.#dateProblem(key, checked.logged?.toISOString() ?? said().signed);
      if (late === undefined) return undefined;
      problem = `it is of ${printable(name)}, and ${late}`;
    }
    return problem;
  }

  #trustOf(key: SignerKey): Trust {
    const trust = this.#trusted.get(key) ?? trustOf(key, this.#folder);
    this.#trusted.set(key, trust);
    return trust;
  }

  /**
   * Says why a key does not count: revoked keys never do; others for what was signed in their time, by the clock of who
   * signed, and where that is not told, as long as it is their time.
   */
  #dateProblem(
    { from, until, revoked }: SignerKey,
    signed: string | undefined,
  ): string | undefined {
    const now = this.#workspace.surroundings.clock.now();
    if (revoked !== undefined && revoked <= now) return `that key was revoked on ${day(revoked)}`;
    const time = signed === undefined ? now : Date.parse(signed);
    if (from !== undefined && time < from) return `that key counts from ${day(from)} on`;
    if (until !== undefined && time >= until) return `that key counted until ${day(until)}`;
    return undefined;
  }

  /**
   * Makes sure that what is live in an environment may be: that its version is signed by those who have to, and its
   * entry by somebody who may move the environment.
   * @throws MstoreError `untrusted`
   */
  async requireLive(
    registry: Registry,
    entry: Sealed<EnvironmentEntry>,
    record: Sealed<VersionRecord>,
    options: FarOptions = {},
  ): Promise<void> {
    await this.#requireEntry(entry);
    await this.requireVersion(registry, record, entry.value.environment, options);
  }

  /** Tells whether an entry is signed as its environment asks for. */
  async trustsEntry(entry: Sealed<EnvironmentEntry>): Promise<boolean> {
    return (await this.#entryProblem(entry)) === undefined;
  }

  async #requireEntry(entry: Sealed<EnvironmentEntry>): Promise<void> {
    const problem = await this.#entryProblem(entry);
    if (problem === undefined) return;
    const { model, environment, number } = entry.value;
    throw this.#refusal(
      `Entry ${number} of ${printable(environment)} of ${model} counts for nothing: ${problem}`,
      { model, environment, number },
    );
  }

  async #entryProblem({
    sha256,
    value,
    signature,
  }: Sealed<EnvironmentEntry>): Promise<string | undefined> {
    const { model, environment, number } = value;
    const rule = ruleFor(this.#rules, model, environment);
    if (rule === undefined || rule.movers.length === 0) return undefined;
    if (signature === undefined)
      return `it is not signed, and has to be by ${namesOf(rule.movers)}`;
    try {
      const bundle = bundleIn(signature, `The signature of entry ${number}`);
      let problem: string | undefined = 'nobody may move environments';
      for (const mover of rule.movers) {
        problem = await this.#problemOf(bundle, mover, () => parseEntryStatement(bundle));
        if (problem === undefined) break;
      }
      if (problem !== undefined) {
        return rule.movers.length === 1 ? problem : `it is not signed by ${namesOf(rule.movers)}`;
      }
      if (parseEntryStatement(bundle).entry === sha256) return undefined;
      return 'its signature is of another entry';
    } catch (error) {
      if (!isMstoreError(error, 'bad-signature')) throw error;
      return error.message;
    }
  }

  /**
   * Opens what signs the entries of an environment, with the key that is given, or that the environment names.
   * @returns undefined where there is no key, and none is asked for
   * @throws MstoreError `untrusted` where the key is missing, or is not that of somebody who may move the environment
   */
  async entrySigner(
    model: string,
    environment: string,
    place: KeyPlace,
    options: { readonly cwd: string; readonly signal?: AbortSignal | undefined },
  ): Promise<EntrySigner | undefined> {
    const { surroundings } = this.#workspace;
    const rule = ruleFor(this.#rules, model, environment);
    const signer = openSignerIfNamed(place, { surroundings, ...options });
    const isAsked = rule !== undefined && rule.movers.length > 0;
    if (signer === undefined) {
      if (!isAsked) return undefined;
      throw this.#refusal(
        `${printable(environment)} of ${model} is moved by ${namesOf(rule.movers)} alone, and no key signs`,
        { model, environment },
        'Write --key FILE, or set MSTORE_SIGNING_KEY',
      );
    }
    return async (entry) => {
      const signed = new Date(surroundings.clock.now()).toISOString();
      const name = `${model}@${environment}#${entry.value.number}`;
      const bundle = await signBundle(formatEntryStatement(name, entry.sha256, signed), signer);
      const problem = isAsked
        ? await this.#entryProblem({ ...entry, signature: bundle })
        : undefined;
      if (problem === undefined) return bundle;
      throw this.#refusal(
        `${printable(environment)} of ${model} is moved by ${namesOf(rule?.movers ?? [])} alone: the key that signs is not theirs, or does not count now`,
        { model, environment },
        `Sign with the key of one of them; what was found: ${problem}`,
      );
    };
  }

  #refusal(
    message: string,
    details: Readonly<Record<string, string | number>>,
    hint = 'Have it signed by those whom the rules of trust name: "mstore sign" for a version, "mstore deploy --key FILE" for what is live',
  ): MstoreError {
    return new MstoreError('untrusted', message, { hint, details });
  }
}

function namesOf(signers: readonly SignerRule[]): string {
  return signers.map(({ name }) => printable(name)).join(', ');
}

function told(reasons: readonly string[]): string {
  if (reasons.length === 0) return '; it has none';
  const more = reasons.length > reasonsShown ? `; and ${reasons.length - reasonsShown} more` : '';
  return `; ${reasons.slice(0, reasonsShown).join('; ')}${more}`;
}

function day(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

/**
 * Finds the version that `model@selector` names, as `findVersion` does; one that is named by an environment has to be
 * what the rules of trust ask for there.
 * @throws MstoreError `untrusted`, and those of `findVersion`
 */
export async function findTrusted(
  workspace: Workspace,
  registry: Registry,
  model: string,
  selector: string,
  options: FarOptions = {},
): Promise<FoundVersion> {
  const found = await findVersion(registry, model, selector);
  await requireTrusted(workspace, registry, found, options);
  return found;
}

/** The same for a version that was found. */
async function requireTrusted(
  workspace: Workspace,
  registry: Registry,
  { entry, record }: FoundVersion,
  options: FarOptions = {},
): Promise<void> {
  if (entry === undefined) return;
  await TrustPolicy.of(workspace).requireLive(registry, entry, record, options);
}
