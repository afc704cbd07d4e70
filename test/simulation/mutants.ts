import { bytesSource, type RemoteObject, type RemotePruner } from '../../src/remote/remote.ts';
import { readSource } from '../../src/remote/source.ts';
import { cleanUpPrefix, rootsPrefix } from '../../src/store/keys.ts';
import type { Wrap, Wraps } from './host.ts';
import { simulate } from './simulation.ts';

/** A program that does not keep the protocol of clean-ups, made by what it is shown and what of it gets through. */
export interface Mutant extends Wraps {
  /** What it does wrong. */
  readonly name: string;
  /** Seeds among which one must find it. */
  readonly seedsMax: number;
  /** Says of the promise that is broken that it is the one that is meant. */
  readonly breaks: RegExp;
}

const loss = /which is needed for|is not there|no record lists it/;
const markKey = /\/mark\.json$/;

/** Changes what one listing of a place shows. */
type Show = (rows: readonly RemoteObject[]) => readonly RemoteObject[];

/** A place whose listings of one prefix are changed. */
function showing(place: RemotePruner, prefix: string, show: Show): RemotePruner {
  return {
    ...place,
    async *list(asked, options) {
      if (asked !== prefix) {
        yield* place.list(asked, options);
        return;
      }
      const rows: RemoteObject[] = [];
      for await (const row of place.list(prefix, options)) rows.push(row);
      yield* show(rows);
    },
  };
}

/** Lets only programs of some kinds see a changed place. */
function only(kinds: readonly string[], change: (place: RemotePruner) => RemotePruner): Wrap {
  return (place, { kind }) => (kinds.includes(kind) ? change(place) : place);
}

/** Sees of clean-ups what was there when it looked first. */
function withoutLook(place: RemotePruner): RemotePruner {
  let first: ReadonlySet<string> | undefined;
  return showing(place, cleanUpPrefix, (rows) => {
    first ??= new Set(rows.map(({ key }) => key));
    return rows.filter(({ key }) => first?.has(key));
  });
}

/** Sees roots as they were before its first sweep began. */
function withEarlyRoots(place: RemotePruner): RemotePruner {
  const early = new Map<string, readonly RemoteObject[]>();
  let isSweeping = false;
  const prefixes = [rootsPrefix, 'refs/models/'];
  let seen: RemotePruner = {
    ...place,
    async create(key, source, options) {
      if (key.endsWith('.sweep')) isSweeping = true;
      return place.create(key, source, options);
    },
  };
  for (const prefix of prefixes) {
    seen = showing(seen, prefix, (rows) => {
      if (!isSweeping) early.set(prefix, rows);
      return early.get(prefix) ?? rows;
    });
  }
  return seen;
}

/** Sees only the roots of the repository whose records come first once its sweep has begun. */
function withFewRoots(place: RemotePruner): RemotePruner {
  let isSweeping = false;
  const seen: RemotePruner = {
    ...place,
    async create(key, source, options) {
      if (key.endsWith('.sweep')) isSweeping = true;
      return place.create(key, source, options);
    },
  };
  return showing(seen, rootsPrefix, (rows) => {
    const [first] = rows;
    const repository = first?.key.split('/')[1] ?? '';
    return isSweeping ? rows.filter(({ key }) => key.split('/')[1] === repository) : rows;
  });
}

/** Sees no sweep that is under way but its own. */
function withoutRivals(place: RemotePruner): RemotePruner {
  const own = new Set<string>();
  const seen: RemotePruner = {
    ...place,
    async create(key, source, options) {
      if (key.endsWith('.sweep')) own.add(key);
      return place.create(key, source, options);
    },
  };
  return showing(seen, cleanUpPrefix, (rows) => {
    const ended = new Set(rows.map(({ key }) => key).filter((key) => key.endsWith('.swept')));
    return rows.filter(({ key }) => {
      const isRival = key.endsWith('.sweep') && !own.has(key);
      return !isRival || ended.has(key.replace('.sweep', '.swept'));
    });
  });
}

/** Names the records of all repositories in its marks, whatever it was told to give up. */
function markingAllRoots(place: RemotePruner): RemotePruner {
  let roots: readonly string[] = [];
  const seen = showing(place, rootsPrefix, (rows) => {
    roots = rows.map(({ key }) => key);
    return rows;
  });
  return {
    ...seen,
    async create(key, source, options) {
      if (!markKey.test(key)) return place.create(key, source, options);
      const blocks: Uint8Array[] = [];
      for await (const block of readSource(key, source, undefined)) blocks.push(Buffer.from(block));
      const mark = JSON.parse(Buffer.concat(blocks).toString());
      const bytes = Buffer.from(`${JSON.stringify({ ...mark, roots })}\n`);
      return place.create(key, bytesSource(bytes), options);
    },
  };
}

/** Takes objects of one prefix for as old as can be. */
function aged(prefix: string, isAged: (key: string) => boolean) {
  return (place: RemotePruner): RemotePruner =>
    showing(place, prefix, (rows) =>
      rows.map((row) => (isAged(row.key) ? { ...row, time: 0 } : row)),
    );
}

/** Does not see marks, so that it relies on records which are about to go. */
function withoutMarks(place: RemotePruner): RemotePruner {
  return showing(place, cleanUpPrefix, (rows) => rows.filter(({ key }) => !markKey.test(key)));
}

/** Ways to break the protocol, each of which a simulation must notice. */
export const mutants: readonly Mutant[] = [
  {
    name: 'push does not look for sweeps when its root is there',
    wrap: only(['push'], withoutLook),
    seedsMax: 40,
    breaks: loss,
  },
  {
    name: 'push relies on a record that a clean-up has given up',
    wrap: only(['push'], withoutMarks),
    seedsMax: 20,
    breaks: loss,
  },
  {
    name: 'sweep goes by roots that were read before it was announced',
    wrap: only(['gc'], withEarlyRoots),
    seedsMax: 60,
    breaks: loss,
  },
  {
    name: 'sweep goes by the roots of one repository',
    wrap: only(['gc'], withFewRoots),
    seedsMax: 20,
    breaks: loss,
  },
  {
    name: 'sweep does not wait until the grace period is over',
    wrap: only(
      ['gc'],
      aged(cleanUpPrefix, (key) => markKey.test(key)),
    ),
    seedsMax: 20,
    breaks: /before its time/,
  },
  {
    name: 'sweep does not mind another sweep that is under way',
    wrap: only(['gc'], withoutRivals),
    seedsMax: 80,
    breaks: /is under way|which is needed for/,
  },
  {
    name: 'clean-up gives up records that nobody told it to',
    wrap: only(['gc'], markingAllRoots),
    seedsMax: 20,
    breaks: loss,
  },
  {
    name: 'command that adds to a shared store does not look for sweeps',
    wrapStore: only(['change'], withoutLook),
    seedsMax: 300,
    breaks: /is in the store, and/,
  },
];

/**
 * Runs simulations of a mutant until one finds it.
 * @returns how many it took; undefined when there were too few
 */
export async function seedsToFind(
  { breaks, wrap, wrapStore }: Mutant,
  firstSeed: number,
  seedsMax: number,
): Promise<number | undefined> {
  for (let count = 1; count <= seedsMax; count++) {
    const { violation } = await simulate(firstSeed + count - 1, { wrap, wrapStore });
    if (violation !== undefined && breaks.test(violation)) return count;
  }
  return undefined;
}
