import { type Digest, isDigest } from '../base/digest.ts';
import { isJsonObject, parseJsonBytes } from '../base/json.ts';
import type { Bundle } from './bundle.ts';
import { statementKind } from './dsse.ts';
import { badSignature } from './problem.ts';

/*
 * Statements about entries of histories: of in-toto, in the same envelopes and bundles as those about models. The entry is
 * named by its digest, which covers model, environment, number and the entry before it.
 */

const predicateKind = 'https://mstore/environment-entry/v1';

/** Makes the bytes of a statement about an entry. */
export function formatEntryStatement(name: string, entry: Digest, signed: string): Buffer {
  const statement = {
    _type: statementKind,
    subject: [{ name, digest: { sha256: entry } }],
    predicateType: predicateKind,
    predicate: { signed },
  };
  return Buffer.from(JSON.stringify(statement));
}

/** What a signature of an entry says. */
export interface EntryStatement {
  readonly entry: Digest;
  /** When it was signed, by the clock of who signed: ISO 8601 in UTC. */
  readonly signed: string;
}

/**
 * Reads such a statement.
 * @throws MstoreError `bad-signature`
 */
export function parseEntryStatement({
  payload,
  where,
}: Pick<Bundle, 'payload' | 'where'>): EntryStatement {
  let value: unknown;
  try {
    value = parseJsonBytes(payload);
  } catch (error) {
    throw badSignature(where, 'its statement is not UTF-8 JSON', error);
  }
  const statement = isJsonObject(value) ? value : {};
  const { _type: kind, subject, predicateType, predicate } = statement;
  if (kind !== statementKind || predicateType !== predicateKind) {
    throw badSignature(where, 'its statement is not about an entry of a history');
  }
  const one = Array.isArray(subject) && subject.length === 1 ? subject[0] : undefined;
  const digest = isJsonObject(one) && isJsonObject(one['digest']) ? one['digest'] : {};
  const entry = digest['sha256'];
  const signed = isJsonObject(predicate) ? predicate['signed'] : undefined;
  if (!isDigest(entry) || typeof signed !== 'string' || Number.isNaN(Date.parse(signed))) {
    throw badSignature(where, 'its statement does not say which entry it is about, and when');
  }
  return { entry, signed };
}
