/**
 * What is measured on which data, the floor of each, and what mstore must reach.
 *
 * A gate of `ratio` and `seconds` is the most that is allowed; one against a peer is how many times faster
 * mstore must be at least. Gates are made for a large file of 2 GiB and a tree of 10,000 files.
 */
export const ownSections = {
  large: {
    title: 'One large file',
    operations: [
      {
        id: 'add1',
        verb: 'add',
        version: 1,
        about: 'add, first version',
        floors: ['H', 'sha256sum', 'D'],
        gates: { ratio: 1.6 },
        faster: { borg: 2, restic: 3.5, 'git-lfs': 3.5 },
      },
      {
        id: 'push1',
        verb: 'push',
        version: 1,
        about: 'push, first version',
        floors: ['C store'],
        gates: { ratio: 1.1 },
      },
      {
        id: 'add2',
        verb: 'add',
        version: 2,
        about: 'add, second version',
        floors: ['H'],
        gates: { ratio: 1.35 },
        faster: { borg: 1.5, restic: 2 },
      },
      { id: 'push2', verb: 'push', version: 2, about: 'push, second version', floors: ['C new'] },
      {
        id: 'again',
        verb: 'again',
        version: 2,
        about: 'push, nothing new',
        floors: ['node -e 0'],
      },
      {
        id: 'restore',
        verb: 'restore',
        version: 2,
        about: 'checkout, verified',
        floors: ['H'],
        gates: { ratio: 1.4 },
        faster: { all: 3 },
      },
      {
        id: 'pull',
        verb: 'pull',
        version: 2,
        about: 'pull, verified, with checkout',
        floors: ['C store'],
        /** The work of a pull is a copy and a checkout: both are its floor. */
        plus: 'restore',
        gates: { ratio: 1 },
      },
    ],
    storedGate: 1.02,
  },
  many: {
    title: 'Many small files',
    operations: [
      { id: 'add1', verb: 'add', about: 'add', gates: { ratio: 2 }, threads: true },
      { id: 'status', verb: 'status', about: 'status', gates: { ratio: 2, seconds: 0.25 } },
      { id: 'push1', verb: 'push', about: 'push', gates: { ratio: 2 } },
      { id: 'restore', verb: 'restore', about: 'checkout', gates: { ratio: 2 }, threads: true },
      { id: 'pull', verb: 'pull', about: 'pull', gates: { ratio: 2 } },
    ].map(({ threads, ...operation }) => {
      const bare = `N ${operation.about}`;
      const floors = ['C tree', bare, ...(threads ? [`${bare}, 2 threads`] : [])];
      return { version: 1, floors, ...operation };
    }),
  },
  weights: {
    title: 'Real weights',
    operations: [
      { id: 'add1', verb: 'add', version: 1, about: 'add, first version' },
      { id: 'add2', verb: 'add', version: 2, about: 'add, last layers tuned' },
      { id: 'restore', verb: 'restore', version: 2, about: 'checkout' },
    ].map((operation) => ({ floors: ['C tree'], ...operation })),
  },
  start: {
    title: 'Starting',
    operations: [
      { id: 'version', verb: 'version', about: '`--version`', gates: { ratio: 1.5 } },
      { id: 'status', verb: 'status', about: 'status, one small file', gates: { ratio: 2.5 } },
    ].map((operation) => ({ version: 1, floors: ['node -e 0'], ...operation })),
  },
};

/** No command of mstore may use more memory than this, whatever the size of its files. */
export const peakBytesMax = 200e6;
