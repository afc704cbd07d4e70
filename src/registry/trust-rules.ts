import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import { ConfigPart } from './config-part.ts';

/** One way by which somebody signs, and when it counts. */
export interface SignerKey {
  /** A public key: PEM, or the name of a file with it. */
  readonly key?: string;
  /** Certificates that are trusted: PEM, or the name of a file with them. */
  readonly certificateChain?: string;
  /** Who a certificate has to be of. */
  readonly identity?: string;
  /** Who has to have vouched for the identity, for Sigstore. */
  readonly issuer?: string;
  /** The file with what Sigstore's verifiers trust. */
  readonly trustRoot?: string;
  /** What was signed before does not count, and what was signed after it; milliseconds since 1970-01-01 UTC. */
  readonly from?: number;
  readonly until?: number;
  /** From then on nothing counts that was ever signed by it. */
  readonly revoked?: number;
}

/** Somebody whose signatures may count; keys are added when they change. */
export interface SignerRule {
  readonly name: string;
  readonly keys: readonly SignerKey[];
}

/** What an environment asks for. */
export interface TrustRule {
  /** `ENVIRONMENT`, or `MODEL@ENVIRONMENT` for a rule of one model. */
  readonly name: string;
  /** Who may sign versions; none where versions need no signature. */
  readonly signers: readonly SignerRule[];
  /** How many of them have to. */
  readonly required: number;
  /** Who may move the environment, with a signature in its history; none where that needs none. */
  readonly movers: readonly SignerRule[];
  /** Whether signatures count that other programs made of the files, without the name of the version. */
  readonly foreign: boolean;
}

/** A table as it was read. */
export interface TrustTables {
  readonly signers: unknown;
  readonly trust: unknown;
  /** File that both were read from, for errors. */
  readonly file: string;
}

const ruleKeys = ['signers', 'required', 'movers', 'foreign'] as const;
const signerKeys = [
  'key',
  'certificate_chain',
  'identity',
  'issuer',
  'trust_root',
  'from',
  'until',
  'revoked',
] as const;

/** Ways to sign that one signer has at most, and signers of one rule. */
const listMax = 1000;

/**
 * Checks the tables `signers` and `trust` of a configuration. All of them are checked, so that a mistake shows in the first
 * command that asks.
 * @throws MstoreError `config-invalid`
 */
export function parseTrust({ signers, trust, file }: TrustTables): Map<string, TrustRule> {
  const known = parseSigners(signers ?? {}, new ConfigPart('signers', file));
  if (trust === undefined) return new Map();
  const top = new ConfigPart('trust', file);
  return top.perEnvironment(trust, (name, value, part) => parseRule(name, value, known, part));
}

/** Finds the rule of a model in an environment: its own where there is one, else that of the environment. */
export function ruleFor(
  rules: ReadonlyMap<string, TrustRule>,
  model: string,
  environment: string,
): TrustRule | undefined {
  return rules.get(`${model}@${environment}`) ?? rules.get(environment);
}

function parseRule(
  name: string,
  value: unknown,
  known: ReadonlyMap<string, SignerRule>,
  part: ConfigPart,
): TrustRule {
  const table = part.table(value);
  part.checkKeys(table, name, ruleKeys);
  const signers = namedIn(table['signers'], known, part.inner('signers'));
  const movers = namedIn(table['movers'], known, part.inner('movers'));
  if (signers.length + movers.length === 0) {
    throw part.invalid('asks for nothing', 'Give it signers, movers or both');
  }
  const { required = Math.min(1, signers.length), foreign = false } = table;
  const most = signers.length;
  if (
    !Number.isInteger(required) ||
    Number(required) < Math.min(1, most) ||
    Number(required) > most
  ) {
    throw part
      .inner('required')
      .invalid(
        `is no number from ${Math.min(1, most)} to ${most}`,
        'Say how many of its signers have to sign',
      );
  }
  if (typeof foreign !== 'boolean') {
    throw part.inner('foreign').invalid('is neither true nor false', 'Write true or false');
  }
  return { name, signers, required: Number(required), movers, foreign };
}

function namedIn(
  value: unknown,
  known: ReadonlyMap<string, SignerRule>,
  part: ConfigPart,
): SignerRule[] {
  if (value === undefined) return [];
  const hint = 'Write ["alice", "bob"]';
  if (!Array.isArray(value) || value.length === 0 || value.length > listMax) {
    throw part.invalid('is no list of signers', hint);
  }
  const names = new Set<unknown>(value);
  if (names.size < value.length) throw part.invalid('names a signer twice', hint);
  return [...names].map((name) => {
    const signer = typeof name === 'string' ? known.get(name) : undefined;
    if (signer !== undefined) return signer;
    const near = nearest(String(name), [...known.keys()]);
    throw part.invalid(
      `names ${printable(String(name))}, who is no signer`,
      near === undefined ? `Write [signers.${printable(String(name))}]` : `Did you mean ${near}?`,
    );
  });
}

function parseSigners(value: unknown, top: ConfigPart): Map<string, SignerRule> {
  const found = new Map<string, SignerRule>();
  for (const [name, one] of Object.entries(top.table(value))) {
    const part = top.inner(name);
    const list: unknown[] = Array.isArray(one) ? one : [one];
    if (list.length === 0 || list.length > listMax) {
      throw part.invalid('has no key', 'Write key = "FILE"');
    }
    found.set(name, { name, keys: list.map((key) => parseSignerKey(name, key, part)) });
  }
  return found;
}

function parseSignerKey(name: string, value: unknown, part: ConfigPart): SignerKey {
  const table = part.table(value);
  part.checkKeys(table, name, signerKeys);
  const text = (key: (typeof signerKeys)[number]): string | undefined => {
    const one = table[key];
    if (one === undefined || (typeof one === 'string' && one !== '')) return one;
    throw part.inner(key).invalid('is no text', `Write ${key} = "…"`);
  };
  const [from, until, revoked] = (['from', 'until', 'revoked'] as const).map((key) =>
    dayIn(table[key], part.inner(key)),
  );
  const how = { key: text('key'), certificateChain: text('certificate_chain') };
  const who = { identity: text('identity'), issuer: text('issuer'), trustRoot: text('trust_root') };
  const ways = [how.key, how.certificateChain, who.trustRoot].filter((one) => one !== undefined);
  if (ways.length !== 1) {
    throw part.invalid(
      'does not say in one way how it signs',
      'Write one of key, certificate_chain, and trust_root with identity and issuer',
    );
  }
  if (how.key !== undefined && (who.identity ?? who.issuer) !== undefined) {
    throw part.invalid('has a key, which has no identity', 'Leave identity and issuer out');
  }
  if (how.key === undefined && who.identity === undefined) {
    throw part.invalid('does not say who a certificate has to be of', 'Write identity = "…"');
  }
  if ((who.trustRoot === undefined) !== (who.issuer === undefined)) {
    throw part.invalid('needs issuer and trust_root, or none of both', 'Both are for Sigstore');
  }
  if (from !== undefined && until !== undefined && from >= until) {
    throw part.invalid('can never count: from is not before until', 'Correct one of them');
  }
  const all = { ...how, ...who, from, until, revoked };
  return Object.fromEntries(Object.entries(all).filter(([, one]) => one !== undefined));
}

/** A moment in TOML, or as text; a day begins at midnight UTC. */
function dayIn(value: unknown, part: ConfigPart): number | undefined {
  if (value === undefined) return undefined;
  const isText =
    typeof value === 'string' &&
    /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?Z)?$/.test(value);
  const time = value instanceof Date ? value.getTime() : isText ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw part.invalid('is no day', 'Write 2026-12-31, or 2026-12-31T12:00:00Z');
}
