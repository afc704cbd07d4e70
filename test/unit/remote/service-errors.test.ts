import { describe, expect, it } from 'vitest';
import type { MstoreError } from '../../../src/base/errors.ts';
import { fromGcsError } from '../../../src/remote/gcs-errors.ts';
import { fromS3Error } from '../../../src/remote/s3-errors.ts';

const codes = {
  connection: ['ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'],
  stalled: ['ETIMEDOUT'],
  'no-endpoint': ['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN'],
  tls: [
    'CERT_HAS_EXPIRED',
    'CERT_NOT_YET_VALID',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'CERT_REVOKED',
    'CERT_SIGNATURE_FAILURE',
    'EPROTO',
    'ERR_SSL_WRONG_VERSION_NUMBER',
  ],
  'not-http': ['HPE_INVALID_CONSTANT'],
  'wrong-answer': ['HPE_INVALID_CONTENT_LENGTH', 'HPE_HEADER_OVERFLOW'],
};
const all = Object.entries(codes).flatMap(([reason, names]) =>
  names.map((name) => [name, reason] as const),
);
const failed = (code: string) => Object.assign(new Error('The system says no'), { code });

describe('a connection that fails', () => {
  it.each(all)('by %s is told alike by all services', (code, reason) => {
    const told = [fromS3Error, fromGcsError].map(
      (from) => from(failed(code), 'read a from', 'the place') as MstoreError,
    );
    const [s3, gcs] = told as [MstoreError, MstoreError];
    expect(s3).toMatchObject({ code: gcs.code, message: gcs.message, details: { reason } });
    expect(gcs.details).toEqual(s3.details);
    expect(gcs.message).toMatch(
      new RegExp(`^Cannot read a from the remote the place: .* \\(${code}\\)$`),
    );
    // What helps with hosts of buckets is said of S3 alone, which has them.
    expect(s3.hint?.startsWith(gcs.hint ?? '')).toBe(true);
    expect(gcs.hint).not.toMatch(/path_style|region/);
  });

  it('by a code of something else is no failure of theirs', () => {
    for (const from of [fromS3Error, fromGcsError]) {
      const error = failed('ERR_ASSERTION');
      expect(from(error, 'read a from', 'the place')).toBe(error);
    }
  });
});
