/** What statements of in-toto 1 call themselves, whatever they are about. */
export const statementKind = 'https://in-toto.io/Statement/v1';

/** The type of a payload that is a statement of in-toto. */
export const statementType = 'application/vnd.in-toto+json';

/**
 * What is signed of an envelope of DSSE: its pre-authentication encoding (secure-systems-lab/dsse, protocol 1.0).
 * @param payload as it is stored; it is never put into words again before it is checked
 */
export function preAuthEncoding(payload: Uint8Array): Buffer {
  const type = Buffer.from(statementType);
  const head = `DSSEv1 ${type.length} ${statementType} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}
