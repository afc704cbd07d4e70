import type { ErrorCode, MstoreError } from './errors.ts';

/** The JSON document of an error, as the command line prints it and the server answers it. */
export interface ErrorDocument {
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly hint?: string;
    readonly details?: object;
  };
}

/** Makes the JSON document of an error. */
export function errorDocument({ code, message, hint, details }: MstoreError): ErrorDocument {
  return {
    error: {
      code,
      message,
      ...(hint === undefined ? {} : { hint }),
      ...(Object.keys(details).length === 0 ? {} : { details }),
    },
  };
}
