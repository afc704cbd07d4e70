import { MstoreError, systemCode } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { kindOf, notS3, type ServiceFailure, wrongRegion } from './s3-failures.ts';

function readFailure(error: unknown): ServiceFailure {
  const object = (typeof error === 'object' && error !== null ? error : {}) as {
    name?: unknown;
    Region?: unknown;
    $metadata?: { httpStatusCode?: number; requestId?: string };
    $response?: { statusCode?: number; headers?: Record<string, string> };
  };
  const headers = object.$response?.headers ?? {};
  const region = typeof object.Region === 'string' ? object.Region : headers['x-amz-bucket-region'];
  return {
    name: typeof object.name === 'string' ? object.name : '',
    status: object.$metadata?.httpStatusCode ?? object.$response?.statusCode,
    headers,
    requestId: object.$metadata?.requestId,
    region,
  };
}

/**
 * Turns a failed call to S3 into the remote's own error; an MstoreError passes through unchanged.
 * @param attempt what was tried, in front of the remote's name: `write packs/ab/c.pack to`
 * @param location the remote, fit to be printed
 */
export function fromS3Error(error: unknown, attempt: string, location: string): unknown {
  if (error instanceof MstoreError) return error;
  const failure = readFailure(error);
  const system = systemCode(error);
  const kind = kindOf(error, failure, system);
  if (kind === undefined) return error;
  const named = failure.name === '' || failure.name === 'Error' ? undefined : failure.name;
  const said = failure.status === undefined ? (system ?? named) : (named ?? system);
  const code = said === undefined ? '' : ` (${printable(said)})`;
  const inRegion = kind === wrongRegion && failure.region !== undefined;
  const region = inRegion ? `, ${printable(failure.region ?? '')}` : '';
  return new MstoreError(
    kind.code,
    `Cannot ${attempt} the remote ${location}: ${kind.what}${region}${code}`,
    {
      hint: kind.hint,
      cause: plainCause(error, failure.name),
      details: {
        reason: kind.reason,
        service: said,
        status: failure.status,
        requestId: failure.requestId,
        region: failure.region,
        triesMax: kind.triesMax,
        retryAfterMs: retryAfterMs(failure.headers['retry-after']),
      },
    },
  );
}

/** Makes the error of an answer that says it is a success and is none of S3: a proxy, a web page. */
export function notS3Answer(attempt: string, location: string): MstoreError {
  return new MstoreError(notS3.code, `Cannot ${attempt} the remote ${location}: ${notS3.what}`, {
    hint: notS3.hint,
    details: { reason: notS3.reason },
  });
}

/** What the SDK said, without the request and the connection that it hangs on its errors. */
function plainCause(error: unknown, name: string): Error {
  const plain = new Error(error instanceof Error ? error.message : String(error));
  plain.name = name === '' ? 'Error' : name;
  return plain;
}

/** Reads Retry-After in seconds. Its other form, a date, is no use where clocks may differ. */
function retryAfterMs(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}
