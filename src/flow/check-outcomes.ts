import type { MstoreError } from '../base/errors.ts';
import type { Retention } from '../remote/remote.ts';
import type { CheckOutcome } from './check-list.ts';

/** A check that ended well. */
export const ok = (message?: string): CheckOutcome =>
  message === undefined ? { state: 'ok' } : { state: 'ok', message };

/** Says what becomes of objects that are deleted, where that is not that they are gone. */
export function deletionTold(retention: Retention | undefined): string[] {
  const { versioned = false, locked } = retention ?? {};
  return [
    ...(versioned
      ? ['the bucket is versioned: what is deleted stays as an older version, and costs on']
      : []),
    ...(locked === undefined ? [] : [`it keeps each object for ${locked}`]),
  ];
}

/** Tells whether a service was found not to give names to one writer alone. */
export function isNotAtomic(error: MstoreError | undefined): boolean {
  return error?.details['reason'] === 'no-atomic-create';
}

/** Tells whether a call was refused for want of a right, and of nothing else. */
export function lacksRight({ details }: MstoreError): boolean {
  return (
    details['reason'] === 'forbidden' || ['EACCES', 'EPERM'].includes(String(details['system']))
  );
}

/** What lists that lag behind come to. */
export function lagging(what: string): CheckOutcome {
  return {
    state: 'warning',
    message: `The service ${what}: its lists lag behind`,
    hint: 'A fetch may miss what was pushed a moment ago; run it again then',
  };
}
