import { auditPrefix } from '../../registry/audit.ts';
import { modelsPrefix } from '../../registry/keys.ts';
import type { AccessGrant } from '../../remote/remote.ts';
import {
  cleanUpPrefix,
  headerKey,
  indexPrefix,
  packsPrefix,
  probesPrefix,
  quarantinePrefix,
  recipesPrefix,
  rootsPrefix,
} from '../../store/keys.ts';

/** Who works with a remote, each with the rights that the work needs and no others. */
export const roleNames = ['reader', 'publisher', 'promoter', 'collector'] as const;
export type RoleName = (typeof roleNames)[number];

/** A part of what a remote holds, for which rights are given as a whole. */
export interface Area {
  readonly name: string;
  /** Keys of it, where `*` stands for any text. */
  readonly pattern: string;
  /** A key of it that no object has, given a word that nobody has used. */
  readonly absent: (word: string) => string;
}

const below = (prefix: string): Area => ({
  name: prefix,
  pattern: `${prefix}*`,
  absent: (word) => `${prefix}${word}`,
});

/** What belongs to a model, for each one. */
const ofModels = (kind: string): Area => ({
  name: `${modelsPrefix}MODEL/${kind}/`,
  pattern: `${modelsPrefix}*/${kind}/*`,
  absent: (word) => `${modelsPrefix}${word}/${kind}/${word}/00000001.json`,
});

const areas = {
  header: { name: headerKey, pattern: headerKey, absent: () => headerKey },
  packs: below(packsPrefix),
  index: below(indexPrefix),
  recipes: below(recipesPrefix),
  roots: below(rootsPrefix),
  cleanUps: below(cleanUpPrefix),
  endedSweeps: {
    name: `${cleanUpPrefix}….swept`,
    pattern: `${cleanUpPrefix}*.swept`,
    absent: (word: string) => `${cleanUpPrefix}${word}/${word}.swept`,
  },
  quarantine: below(quarantinePrefix),
  probes: below(probesPrefix),
  versions: ofModels('versions'),
  states: ofModels('states'),
  signatures: ofModels('signatures'),
  environments: ofModels('environments'),
  audit: { ...below(auditPrefix), absent: () => `${auditPrefix}9999/99999999.json` },
} as const satisfies Readonly<Record<string, Area>>;

/** Parts that do not overlap, and are all that a remote holds. */
const separate: readonly Area[] = Object.values(areas).filter((area) => area !== areas.endedSweeps);

/** What a role may do. All of them read and list everything. */
export interface Role {
  readonly name: RoleName;
  /** What it is for, in a few words. */
  readonly about: string;
  readonly creates: readonly Area[];
  readonly deletes: readonly Area[];
}

const { header, packs, index, recipes, roots, cleanUps, endedSweeps, quarantine } = areas;
const { probes, versions, states, signatures, environments, audit } = areas;

export const roles: Readonly<Record<RoleName, Role>> = {
  reader: {
    name: 'reader',
    about: 'fetches, checks out, follows environments',
    creates: [],
    deletes: [],
  },
  publisher: {
    name: 'publisher',
    about: 'pushes data and versions, signs them, and takes versions out of use',
    creates: [
      ...[header, packs, index, recipes, roots, endedSweeps, probes],
      ...[versions, states, signatures, audit],
    ],
    deletes: [],
  },
  promoter: {
    name: 'promoter',
    about: 'deploys, promotes and rolls back',
    creates: [environments, probes, audit],
    deletes: [],
  },
  collector: {
    name: 'collector',
    about: 'cleans up: marks and removes what nothing needs',
    creates: [packs, index, recipes, cleanUps, quarantine, probes, audit],
    deletes: [packs, index, recipes, roots, cleanUps, quarantine, probes],
  },
};

/** What a role must not create, and must not delete. */
export function refusedTo({ creates, deletes }: Role): {
  readonly creates: readonly Area[];
  readonly deletes: readonly Area[];
} {
  return {
    creates: separate.filter((area) => !creates.includes(area)),
    deletes: separate.filter((area) => !deletes.includes(area)),
  };
}

/** The rights of a role, as places that write policies take them. */
export function grantOf({ creates, deletes }: Role): AccessGrant {
  const mayMove = creates.includes(environments);
  return {
    creates: creates.map(({ pattern }) => pattern),
    deletes: deletes.map(({ pattern }) => pattern),
    // A star stands for slashes too, and an environment may be called as a part of a registry is.
    never: creates.length === 0 || mayMove ? [] : [environments.pattern],
  };
}
