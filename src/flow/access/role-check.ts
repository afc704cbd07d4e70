import { mapConcurrently } from '../../base/concurrency.ts';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { type RemoteCallOptions, type RemotePruner, readObject } from '../../remote/remote.ts';
import { headerKey } from '../../store/keys.ts';
import type { CheckList, CheckOutcome } from '../check-list.ts';
import { type Area, type Role, refusedTo } from './roles.ts';

/** Areas that are tried at once. */
const areasAtOnce = 4;

/** A remote whose rights are tried out. */
export interface TriedPlace {
  readonly remote: RemotePruner;
  /** A word that is in no key, by which absent objects are named. */
  readonly word: string;
  readonly call: RemoteCallOptions;
}

/**
 * Tries, with the credentials at hand, whether a role has what it needs and nothing beyond. Objects are asked for and
 * deleted under names that none has, and uploads are begun and ended at once, so that nothing is left whatever is
 * allowed.
 */
export async function checkRole(list: CheckList, role: Role, place: TriedPlace): Promise<void> {
  const refused = refusedTo(role);
  await list.try('may-read', 'read', async () => mayRead(place));
  await list.try('may-create', 'write', () =>
    allAllowed(role.creates, (area) => creates(place, area)),
  );
  await list.try('may-delete', 'delete', () =>
    allAllowed(role.deletes, (area) => deletes(place, area)),
  );
  await list.try('must-not-create', undefined, () =>
    allRefused(role, 'create', refused.creates, (area) => creates(place, area)),
  );
  await list.try('must-not-delete', undefined, () =>
    allRefused(role, 'delete', refused.deletes, (area) => deletes(place, area)),
  );
}

async function mayRead({ remote, word, call }: TriedPlace): Promise<CheckOutcome> {
  await readObject(remote, headerKey, limits.headerBytesMax, call);
  // Who may not list is told of what is absent that it is denied.
  await remote.stat(`refs/models/${word}/versions/${word}.json`, call);
  for await (const _ of remote.list('', call)) break;
  return { state: 'ok' };
}

async function creates({ remote, word, call }: TriedPlace, area: Area): Promise<void> {
  await remote.probe?.mayCreate?.(area.absent(word), call);
}

async function deletes({ remote, word, call }: TriedPlace, area: Area): Promise<void> {
  // The header is the one object of its area, and must never be tried.
  await remote.delete(
    area.pattern === headerKey ? `${headerKey}.${word}` : area.absent(word),
    call,
  );
}

async function allAllowed(
  areas: readonly Area[],
  work: (area: Area) => Promise<void>,
): Promise<CheckOutcome> {
  if (areas.length === 0) return { state: 'skipped', message: 'the role needs none of it' };
  await mapConcurrently(areas, areasAtOnce, work);
  return { state: 'ok', message: areas.map(({ name }) => name).join(' ') };
}

async function allRefused(
  role: Role,
  what: 'create' | 'delete',
  areas: readonly Area[],
  work: (area: Area) => Promise<void>,
): Promise<CheckOutcome> {
  if (areas.length === 0) return { state: 'skipped', message: 'the role may do all of it' };
  const allowed = await mapConcurrently(areas, areasAtOnce, async (area) => {
    try {
      await work(area);
      return area.name;
    } catch (error) {
      if (isMstoreError(error, 'remote-refused') && isDenied(error)) return undefined;
      throw error;
    }
  });
  const names = allowed.filter((name) => name !== undefined);
  if (names.length === 0) return { state: 'ok', message: 'refused, as it should be' };
  throw new MstoreError(
    'too-powerful',
    `These credentials may ${what} below ${names.join(' ')}, which is none of a ${role.name}'s business`,
    {
      hint: `Give them the policy of "mstore remote policy NAME --role ${role.name}", and nothing beside it`,
      details: { role: role.name, allowed: names },
    },
  );
}

function isDenied({ details: { reason } }: MstoreError): boolean {
  return reason === 'forbidden' || reason === 'no-credentials';
}
