import { MstoreError, systemCode } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { kindOf, notS3, type ServiceFailure, wrongRegion } from './s3-failures.ts';
import { serviceError } from './service-errors.ts';

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

/** What the SDK calls errors that have no name, such as answers without a body. */
const unnamed = ['', 'Error', 'Unknown', 'UnknownError'];

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
  const named = unnamed.includes(failure.name) ? undefined : failure.name;
  const said =
    failure.status === undefined ? (system ?? named) : (named ?? system ?? String(failure.status));
  const inRegion = kind === wrongRegion && failure.region !== undefined;
  const what = inRegion ? `${kind.what}, ${printable(failure.region ?? '')}` : kind.what;
  const { status, requestId, region, headers } = failure;
  return serviceError({ ...kind, what }, attempt, location, {
    said,
    status,
    requestId,
    region,
    retryAfter: headers['retry-after'],
    date: headers['date'],
    cause: plainCause(error, failure.name),
  });
}

/** Makes the error of an answer that says it is a success and is none of S3: a proxy, a web page. */
export function notS3Answer(attempt: string, location: string): MstoreError {
  return serviceError(notS3, attempt, location);
}

/** What the SDK said, without the request and the connection that it hangs on its errors. */
function plainCause(error: unknown, name: string): Error {
  const plain = new Error(error instanceof Error ? error.message : String(error));
  plain.name = name === '' ? 'Error' : name;
  return plain;
}
