import { type ErrorCode, MstoreError, type MstoreErrorOptions } from '../base/errors.ts';

/** An error of a request, with the status that it is answered with. */
export class RequestError extends MstoreError {
  readonly status: number;

  constructor(status: number, code: ErrorCode, message: string, options: MstoreErrorOptions = {}) {
    super(code, message, options);
    this.name = 'RequestError';
    this.status = status;
  }
}

/** Makes the error of bytes that are not those that were sent. */
export function digestMismatch(): RequestError {
  return new RequestError(422, 'corrupt-source', 'The bytes that arrived have another digest', {
    hint: 'Send them again; if that fails too, look at proxies in between',
  });
}
