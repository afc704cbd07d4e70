import { MstoreError } from '../../base/errors.ts';
import type { AccessPolicy, RemoteReader, RemoteWriter } from '../../remote/remote.ts';
import { grantOf, type RoleName, roles } from './roles.ts';

/** A policy of one role. */
export interface RolePolicy extends AccessPolicy {
  readonly remote: string;
  readonly location: string;
  readonly role: RoleName;
}

/**
 * Writes the policy that gives a role its rights at a remote, and no others. Asks nobody.
 * @throws MstoreError `usage` for a place that knows no such policies
 */
export async function rolePolicy(
  { name, remote }: { readonly name: string; readonly remote: RemoteWriter },
  role: RoleName,
): Promise<RolePolicy> {
  const { probe, location } = remote;
  if (probe?.policy === undefined) throw noRoles(remote);
  return { remote: name, location, role, ...(await probe.policy(grantOf(roles[role]))) };
}

/** Makes the error of a place whose rights are given otherwise. */
export function noRoles({ location }: RemoteReader): MstoreError {
  return new MstoreError(
    'usage',
    `${location} has no roles: they are of buckets of S3 and Cloud Storage`,
    {
      hint: 'Give rights in a directory by groups and modes, and at a server by the scopes of tokens ("mstore token create")',
    },
  );
}
