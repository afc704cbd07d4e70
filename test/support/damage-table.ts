/** What is done to an object. */
export const damageNames = ['delete', 'truncate', 'extend', 'flip', 'swap', 'older'] as const;
export type DamageName = (typeof damageNames)[number];

/** The commands that meet the damage. */
export const commandNames = ['add', 'status', 'push', 'fetch', 'checkout', 'gc', 'verify'] as const;
export type CommandName = (typeof commandNames)[number];

/** What is to be done after an error, as its hint says. */
export const remedyNames = [
  'fetch',
  'remove, fetch',
  'fetch all',
  'push',
  'remove, push',
  'copy',
  'Git',
  'fetch, Git',
  'remove',
  'push, remove',
  'repair',
] as const;
export type Remedy = (typeof remedyNames)[number];

/** What begins a row of a damage that makes no sense for a kind of object; the reason follows. */
const noneMark = 'none: ';

/** One kind of object. */
interface KindTable {
  /** What the object is, and what is particular about its damage. */
  readonly about: string;
  /**
   * What the commands do, in the order of {@link commandNames}: how each ends, and behind a colon what heals it
   * after an error.
   */
  readonly rows: Readonly<Record<DamageName, string>>;
}

export const damageTable = {
  pack: {
    about:
      'The pack with what is new in the current version. What a pack of another size holds counts as absent, so that `add` and `fetch` bring it again. A turned bit is found when the chunk is read, and by `verify`; until then nothing tells of it. After a swap, `fetch` heals the current version, and `fetch --all-versions` the others.',
    rows: {
      delete:
        'heals | shows bytes to pull | objects-missing: fetch | heals | objects-missing: fetch | fine | corrupt-store: repair',
      truncate:
        'heals | shows bytes to pull | corrupt-pack: fetch | heals | corrupt-pack: fetch | fine, tells | corrupt-store: repair',
      extend:
        'heals | shows bytes to pull | corrupt-pack: fetch | heals | corrupt-pack: fetch | fine, tells | corrupt-store: repair',
      flip: 'fine | fine | corrupt-chunk: remove, fetch | fine | corrupt-chunk: remove, fetch | fine | corrupt-store: repair',
      swap: 'heals | shows bytes to pull | corrupt-pack: fetch all | heals | corrupt-pack: fetch | fine, tells | corrupt-store: repair',
      older:
        'heals | shows bytes to pull | corrupt-pack: fetch | heals | corrupt-pack: fetch | fine, tells | corrupt-store: repair',
    },
  },
  'index object': {
    about:
      'The index of that pack. It is the end of the pack once more, and is made anew from it as soon as it is looked at; chunk tables save most looks.',
    rows: {
      delete: 'heals | heals | heals | heals | heals | heals | heals, tells',
      truncate: 'heals | heals | heals | heals | heals | heals | corrupt-store: repair',
      extend: 'heals | heals | heals | heals | heals | heals | corrupt-store: repair',
      flip: 'heals | heals | heals | heals | heals | heals | corrupt-store: repair',
      swap: 'heals | heals | heals | heals | heals | heals | corrupt-store: repair',
      older: 'heals | heals | heals | heals | heals | heals | corrupt-store: repair',
    },
  },
  recipe: {
    about: 'The list of the chunks of the current model file.',
    rows: {
      delete:
        'heals | shows bytes to pull | objects-missing: fetch | heals | objects-missing: fetch | fine | fine',
      truncate:
        'heals | shows corrupt-recipe | corrupt-recipe: fetch | heals | corrupt-recipe: fetch | corrupt-recipe: fetch | corrupt-store: repair',
      extend:
        'heals | shows corrupt-recipe | corrupt-recipe: fetch | heals | corrupt-recipe: fetch | corrupt-recipe: fetch | corrupt-store: repair',
      flip: 'heals | shows corrupt-recipe | corrupt-recipe: fetch | heals | corrupt-recipe: fetch | corrupt-recipe: fetch | corrupt-store: repair',
      swap: 'heals | shows corrupt-recipe | corrupt-recipe: fetch all | heals | corrupt-recipe: fetch | corrupt-recipe: fetch all | corrupt-store: repair',
      older:
        'heals | shows corrupt-recipe | corrupt-recipe: fetch | heals | corrupt-recipe: fetch | corrupt-recipe: fetch | corrupt-store: repair',
    },
  },
  'version record': {
    about:
      'The record of the newest version, which `checkout` asks for. What was once found alike on both sides is not compared again, so that `fetch` does not tell of a damaged record that nobody asks for.',
    rows: {
      delete: 'fine | fine | fine | heals | unknown-version: fetch | fine | corrupt-store: repair',
      truncate:
        'fine | fine | corrupt-registry: remove, fetch | fine | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-store: repair',
      extend:
        'fine | fine | corrupt-registry: remove, fetch | fine | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-store: repair',
      flip: 'fine | fine | corrupt-registry: remove, fetch | fine | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-store: repair',
      swap: 'fine | fine | corrupt-registry: remove, fetch | fine | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-store: repair',
      older:
        'fine | fine | corrupt-registry: remove, fetch | fine | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-store: repair',
    },
  },
  'history entry': {
    about:
      'The last entry of an environment, which `checkout` asks for. Nothing in one place tells that a last entry is gone: `checkout` goes by the one before it. `fetch` and `pull` ask the other side.',
    rows: {
      delete: 'fine | fine | fine | heals | fine | fine | fine',
      truncate:
        'fine | fine | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-store: repair',
      extend:
        'fine | fine | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-store: repair',
      flip: 'fine | fine | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-store: repair',
      swap: 'fine | fine | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-store: repair',
      older:
        'fine | fine | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-registry: remove, fetch | corrupt-store: repair',
    },
  },
  'stat cache': {
    about:
      'What the model file was like when its digest was known. It carries a checksum; a damaged one is an empty one.',
    rows: {
      delete: 'heals | heals | fine | fine | heals | fine | fine',
      truncate: 'heals | heals | fine | fine | heals | fine | fine',
      extend: 'heals | heals | fine | fine | heals | fine | fine',
      flip: 'heals | heals | fine | fine | heals | fine | fine',
      swap: 'heals | heals | fine | fine | heals | fine | fine',
      older: 'heals | heals | fine | fine | heals | fine | fine',
    },
  },
  pointer: {
    about:
      'The pointer of the model file. Where a valid pointer came out of it, it is that which counts: Git tells that it changed, as `status` does, and `checkout` writes what it names.',
    rows: {
      delete: 'heals | shows nothing of it | fine | fine | fine | fine | fine',
      truncate:
        'heals | shows corrupt-pointer | corrupt-pointer: Git | corrupt-pointer: Git | corrupt-pointer: Git | corrupt-pointer: Git | corrupt-store: Git',
      extend:
        'heals | shows corrupt-pointer | corrupt-pointer: Git | corrupt-pointer: Git | corrupt-pointer: Git | corrupt-pointer: Git | corrupt-store: Git',
      flip: 'heals | shows bytes to pull | objects-missing: Git | objects-missing: Git | objects-missing: fetch, Git | fine | fine',
      swap: 'heals | shows corrupt-pointer | corrupt-pointer: Git | corrupt-pointer: Git | corrupt-pointer: Git | corrupt-pointer: Git | corrupt-store: Git',
      older: 'heals | shows a changed pointer | fine | fine | fine | fine | fine',
    },
  },
  'local header': {
    about:
      '`mstore.json` of the local store. Its format alone matters: that of another place serves as well, and it may be gone.',
    rows: {
      delete: 'fine | fine | fine | fine | fine | fine | fine',
      truncate:
        'corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove',
      extend:
        'corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove',
      flip: 'corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove | corrupt-store: remove',
      swap: 'fine | fine | fine | fine | fine | fine | fine',
      older: 'none: it is written once, so that there is no older one',
    },
  },
  'chunk table': {
    about:
      'The larger of two tables that say in which pack a chunk is. Damaged ones are removed and the packs looked at.',
    rows: {
      delete: 'fine | fine | fine | fine | fine | fine | fine',
      truncate: 'heals | heals | heals | heals | heals | heals | heals',
      extend: 'heals | heals | heals | heals | heals | heals | heals',
      flip: 'heals | heals | heals | heals | heals | fine | heals',
      swap: 'fine | fine | fine | fine | fine | fine | fine',
      older:
        'none: an older table is one of fewer packs beside the other one, which is what *delete* leaves',
    },
  },
  'kept index object': {
    about:
      'A copy of an index object of the remote, in a workspace that has no pack of its own. One that is damaged is fetched again.',
    rows: {
      delete: 'fine | fine | heals | heals | fine | fine | fine',
      truncate: 'fine | fine | heals | heals | fine | fine | fine',
      extend: 'fine | fine | heals | heals | fine | fine | fine',
      flip: 'fine | fine | heals | heals | fine | fine | fine',
      swap: 'fine | fine | heals | heals | fine | fine | fine',
      older: 'fine | fine | heals | heals | fine | fine | fine',
    },
  },
  'known list': {
    about:
      'The names of records that this host and the remote have alike. It carries the id of the remote and a checksum; a damaged one is an empty one.',
    rows: {
      delete: 'fine | fine | heals | heals | fine | fine | fine',
      truncate: 'fine | fine | heals | heals | fine | fine | fine',
      extend: 'fine | fine | heals | heals | fine | fine | fine',
      flip: 'fine | fine | heals | heals | fine | fine | fine',
      swap: 'fine | fine | heals | heals | fine | fine | fine',
      older: 'fine | fine | heals | heals | fine | fine | fine',
    },
  },
  'temporary file': {
    about: 'What a process left that was killed. Nobody reads it; whoever writes next removes it.',
    rows: {
      delete: 'fine | fine | fine | fine | fine | fine | fine, tells',
      truncate: 'heals | fine | heals | heals | fine | heals | fine, tells',
      extend: 'heals | fine | heals | heals | fine | heals | fine, tells',
      flip: 'heals | fine | heals | heals | fine | heals | fine, tells',
      swap: 'heals | fine | heals | heals | fine | heals | fine, tells',
      older: 'heals | fine | heals | heals | fine | heals | fine, tells',
    },
  },
  'lock file': {
    about:
      'The lock of a process that was killed, while it edited `.gitignore`. The bit is turned in the name of the host: a lock of another host counts for a day.',
    rows: {
      delete: 'fine | fine | fine | fine | fine | fine | fine',
      truncate: 'heals | fine | fine | fine | heals | fine | fine',
      extend: 'heals | fine | fine | fine | heals | fine | fine',
      flip: 'locked: remove | fine | fine | fine | locked: remove | fine | fine',
      swap: 'heals | fine | fine | fine | heals | fine | fine',
      older: 'heals | fine | fine | fine | heals | fine | fine',
    },
  },
  'remote header': {
    about:
      '`mstore.json` of the remote. The bit is turned in a key; one in the id makes it another remote, of which nothing is remembered, and all is well.',
    rows: {
      delete:
        'fine | fine | corrupt-remote: copy | corrupt-remote: copy | fine | corrupt-remote: copy | corrupt-remote: copy',
      truncate:
        'fine | fine | corrupt-remote: copy | corrupt-remote: copy | fine | corrupt-remote: copy | corrupt-remote: copy',
      extend:
        'fine | fine | corrupt-remote: copy | corrupt-remote: copy | fine | corrupt-remote: copy | corrupt-remote: copy',
      flip: 'fine | fine | corrupt-remote: copy | corrupt-remote: copy | fine | corrupt-remote: copy | corrupt-remote: copy',
      swap: 'fine | fine | fine | fine | fine | fine | fine',
      older: 'none: it is written once, so that there is no older one',
    },
  },
  'root record': {
    about:
      'The record of what a push needs kept. `push` writes it where it is missing; only `gc` and `verify` read it.',
    rows: {
      delete: 'fine | fine | heals | fine | fine | fine | fine',
      truncate:
        'fine | fine | fine | fine | fine | corrupt-remote: remove, push | corrupt-remote: push, remove',
      extend:
        'fine | fine | fine | fine | fine | corrupt-remote: remove, push | corrupt-remote: push, remove',
      flip: 'fine | fine | fine | fine | fine | corrupt-remote: remove, push | corrupt-remote: push, remove',
      swap: 'fine | fine | fine | fine | fine | corrupt-remote: remove, push | corrupt-remote: push, remove',
      older:
        'fine | fine | fine | fine | fine | corrupt-remote: remove, push | corrupt-remote: push, remove',
    },
  },
  'remote pack': {
    about:
      'The pack with what is new in the current version, at the remote; `fetch` runs in a fresh clone. A turned bit is found when it is fetched, and by `verify`.',
    rows: {
      delete:
        'fine | fine | heals | objects-missing: push | fine | corrupt-remote: push | corrupt-remote: repair',
      truncate:
        'fine | fine | corrupt-remote: remove, push | corrupt-remote: remove, push | fine | corrupt-remote: push | corrupt-remote: repair',
      extend:
        'fine | fine | corrupt-remote: remove, push | corrupt-remote: remove, push | fine | corrupt-remote: push | corrupt-remote: repair',
      flip: 'fine | fine | fine | corrupt-remote: remove, push | fine | fine | corrupt-remote: repair',
      swap: 'fine | fine | corrupt-remote: remove, push | corrupt-remote: remove, push | fine | corrupt-remote: push | corrupt-remote: repair',
      older:
        'fine | fine | corrupt-remote: remove, push | corrupt-remote: remove, push | fine | corrupt-remote: push | corrupt-remote: repair',
    },
  },
  'remote index object': {
    about: 'The index of that pack. In its place the end of the pack serves.',
    rows: {
      delete: 'fine | fine | heals | fine | fine | heals | fine, tells',
      truncate: 'fine | fine | fine | fine, tells | fine | fine | corrupt-remote: repair',
      extend: 'fine | fine | fine | fine, tells | fine | fine | corrupt-remote: repair',
      flip: 'fine | fine | fine | fine, tells | fine | fine | corrupt-remote: repair',
      swap: 'fine | fine | fine | fine, tells | fine | fine | corrupt-remote: repair',
      older: 'fine | fine | fine | fine, tells | fine | fine | corrupt-remote: repair',
    },
  },
  'remote recipe': {
    about: 'The list of the chunks of the current model file, at the remote.',
    rows: {
      delete:
        'fine | fine | heals | objects-missing: push | fine | corrupt-remote: push | corrupt-remote: repair',
      truncate:
        'fine | fine | fine | corrupt-remote: remove, push | fine | corrupt-remote: remove, push | corrupt-remote: repair',
      extend:
        'fine | fine | fine | corrupt-remote: remove, push | fine | corrupt-remote: remove, push | corrupt-remote: repair',
      flip: 'fine | fine | fine | corrupt-remote: remove, push | fine | corrupt-remote: remove, push | corrupt-remote: repair',
      swap: 'fine | fine | fine | corrupt-remote: remove, push | fine | corrupt-remote: remove, push | corrupt-remote: repair',
      older:
        'fine | fine | fine | corrupt-remote: remove, push | fine | corrupt-remote: remove, push | corrupt-remote: repair',
    },
  },
  'remote version record': {
    about:
      'The record of the newest version, at the remote. What was once found alike on both sides is not compared again, so that `push` does not tell of it.',
    rows: {
      delete: 'fine | fine | heals | fine | fine | fine | corrupt-remote: repair',
      truncate:
        'fine | fine | fine | corrupt-registry: remove, push | fine | corrupt-registry: remove, push | corrupt-remote: repair',
      extend:
        'fine | fine | fine | corrupt-registry: remove, push | fine | corrupt-registry: remove, push | corrupt-remote: repair',
      flip: 'fine | fine | fine | corrupt-registry: remove, push | fine | corrupt-registry: remove, push | corrupt-remote: repair',
      swap: 'fine | fine | fine | corrupt-registry: remove, push | fine | corrupt-registry: remove, push | corrupt-remote: repair',
      older:
        'fine | fine | fine | corrupt-registry: remove, push | fine | corrupt-registry: remove, push | corrupt-remote: repair',
    },
  },
  'remote history entry': {
    about: 'The last entry of an environment, at the remote.',
    rows: {
      delete: 'fine | fine | heals | fine | fine | fine | fine',
      truncate:
        'fine | fine | corrupt-registry: remove, push | corrupt-registry: remove, push | fine | corrupt-registry: remove, push | corrupt-remote: repair',
      extend:
        'fine | fine | corrupt-registry: remove, push | corrupt-registry: remove, push | fine | corrupt-registry: remove, push | corrupt-remote: repair',
      flip: 'fine | fine | corrupt-registry: remove, push | corrupt-registry: remove, push | fine | corrupt-registry: remove, push | corrupt-remote: repair',
      swap: 'fine | fine | corrupt-registry: remove, push | corrupt-registry: remove, push | fine | corrupt-registry: remove, push | corrupt-remote: repair',
      older:
        'fine | fine | corrupt-registry: remove, push | corrupt-registry: remove, push | fine | corrupt-registry: remove, push | corrupt-remote: repair',
    },
  },
} as const satisfies Readonly<Record<string, KindTable>>;

/** A kind of object that is damaged. */
export type KindName = keyof typeof damageTable;

export const kindNames = Object.keys(damageTable) as KindName[];

/** Returns why a damage makes no sense for a kind; undefined where it does. */
export function reasonOf(kind: KindName, damage: DamageName): string | undefined {
  const row = damageTable[kind].rows[damage];
  return row.startsWith(noneMark) ? row.slice(noneMark.length) : undefined;
}

/** Returns a cell of the table; undefined where it has none. */
export function cellOf(
  kind: KindName,
  damage: DamageName,
  command: CommandName,
): string | undefined {
  if (reasonOf(kind, damage) !== undefined) return undefined;
  return damageTable[kind].rows[damage].split(' | ')[commandNames.indexOf(command)];
}

/** How a command ends, without what is to be done. */
export function verdictOf(cell: string): string {
  return cell.split(': ')[0] as string;
}

/** What is to be done after an error. */
export function remedyOf(cell: string): Remedy | undefined {
  const text = cell.split(': ')[1];
  return remedyNames.find((name) => name === text);
}
