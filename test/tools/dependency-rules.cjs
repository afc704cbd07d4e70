/**
 * The layers of src/, one rule a row of the table in docs/architecture.md. `comment` is the reason that
 * is printed when a rule is broken.
 */
const layer = (name, mayImport, comment) => ({
  name: `layer-${name}`,
  severity: 'error',
  comment,
  from: { path: `^src/${name}/` },
  to: { path: '^src/', pathNot: `^src/(${[name, ...mayImport].join('|')})/` },
});

const onlyIn = (packages, folders, comment) => ({
  name: `package-${packages[0].replace(/\W/g, '-')}`,
  severity: 'error',
  comment,
  from: { path: '^src/', pathNot: `^src/(${folders.join('|')})/` },
  to: { path: `node_modules/(${packages.join('|')})(/|$)` },
});

/** Packages that take long to load: one module imports them, and that one is imported dynamically. */
const lazily = (name, packages, module, { home, when }) => [
  {
    name: `${name}-in-one-module`,
    severity: 'error',
    comment: home,
    from: { path: '^src/', pathNot: `^src/${module}\\.ts$` },
    to: { path: `node_modules/${packages}/`, dependencyTypesNot: ['type-only'] },
  },
  {
    name: `${name}-is-lazy`,
    severity: 'error',
    comment: when,
    from: { path: '^src/' },
    to: { path: `^src/${module}\\.ts$`, dynamic: false, dependencyTypesNot: ['type-only'] },
  },
];

const store = ['base', 'chunk', 'pack', 'index', 'weights', 'remote'];

module.exports = {
  forbidden: [
    layer('base', [], 'base is what all stand on: it knows nothing of the others'),
    layer('chunk', ['base'], 'chunking is pure: it is handed hard cuts and knows no file formats'),
    layer('weights', ['base'], 'readers of model headers are pure'),
    layer('validate', ['base', 'weights'], 'checks of files are pure: they are handed readers'),
    layer('pack', ['base'], 'packs know chunks, not where they are indexed or stored'),
    layer('index', ['base', 'pack'], 'the index is a table over the footers of packs'),
    layer(
      'remote',
      ['base'],
      'a remote moves keys and bytes: it must not know what a chunk or a pack is',
    ),
    layer(
      'encryption',
      ['base', 'remote'],
      'encryption is a remote in front of a remote: it knows neither what a pack is nor who asks',
    ),
    layer('git', ['base'], 'nothing of ours is known there: Git is read, and tagged'),
    layer(
      'worktree',
      ['base'],
      'the working tree is files and pointers: it must not reach into the store',
    ),
    layer(
      'archive',
      ['base'],
      'packages are bytes and lists of digests: what stores and registries are is none of theirs',
    ),
    layer('dvc', ['base'], 'files of DVC are parsed from values and bytes that are handed in'),
    layer(
      'source',
      ['base', 'dvc', 'remote'],
      'where models come from is files and bytes: what a store or a version is is none of theirs',
    ),
    layer(
      'signing',
      ['base'],
      'signatures are of lists of files: where these come from, and who is trusted, is none of theirs',
    ),
    layer('lfs', ['base'], 'what Git LFS writes and says is pure: where objects are is none of it'),
    layer(
      'session',
      ['base', 'weights'],
      'runtimes are handed bytes and run them: where these come from is none of theirs',
    ),
    layer(
      'store',
      ['base', 'chunk', 'pack', 'index', 'weights', 'remote'],
      'the store stands on chunks, packs and the remote interface',
    ),
    layer(
      'registry',
      ['base', 'remote'],
      'versions, environments and gates are records and rules: files of models are none of theirs',
    ),
    layer(
      'publish',
      ['base', 'weights', 'remote', 'git', 'registry', 'source'],
      'other services are sent files and records: where these come from is none of theirs',
    ),
    layer(
      'monitor',
      ['base', 'registry'],
      'monitors count and judge: who tells them, and who moves an environment, is none of theirs',
    ),
    layer(
      'flow',
      [
        ...[
          ...store,
          'validate',
          'dvc',
          'encryption',
          'store',
          'archive',
          'source',
          'session',
          'worktree',
          'git',
        ],
        ...['registry', 'publish', 'monitor', 'lfs', 'signing'],
      ],
      'flows decide; they do not print or parse arguments',
    ),
    layer(
      'server',
      ['base', 'remote', 'store', 'registry', 'monitor', 'flow'],
      'the server is a second way to the flows, beside the command line',
    ),
    layer(
      'cli',
      [
        ...[...store, 'validate', 'store', 'archive', 'source', 'worktree', 'git', 'registry'],
        ...['monitor', 'flow', 'server'],
      ],
      'the command line is on top',
    ),
    layer('web', [], 'browser code knows the server by what it answers alone'),
    {
      name: 'web-is-for-browsers',
      severity: 'error',
      comment: 'browser code is bundled by itself: nothing that Node runs may import it',
      from: { path: '^src/', pathNot: '^src/web/' },
      to: { path: '^src/web/' },
    },
    {
      name: 'store-knows-no-backend',
      severity: 'error',
      comment: 'the store is handed its remotes; naming a backend would tie formats to one place',
      from: { path: '^src/store/' },
      to: { path: '^src/remote/', pathNot: '^src/remote/remote\\.ts$' },
    },
    {
      name: 'registry-knows-no-backend',
      severity: 'error',
      comment: 'a registry is handed the place it is in',
      from: { path: '^src/registry/' },
      to: { path: '^src/remote/', pathNot: '^src/remote/(remote|keys)\\.ts$' },
    },
    ...lazily('s3-sdk', '@aws-sdk', 'remote/s3-sdk', {
      home: 'loading the SDK takes longer than most commands: it is loaded by one module, lazily',
      when: 'only a call to an S3 remote may load the SDK',
    }),
    ...lazily('gcs-sdk', '(@google-cloud|@node-rs|google-auth-library)', 'remote/gcs-sdk', {
      home: 'loading the SDK takes longer than most commands: it is loaded by one module, lazily',
      when: 'only a call to a GCS remote may load the SDK',
    }),
    ...lazily('yaml', 'yaml', 'registry/yaml-parser', {
      home: 'loading the parser takes as long as a command: it is loaded by one module, lazily',
      when: 'only a file in YAML may load its parser',
    }),
    ...lazily('hub', '@huggingface', 'source/hub-sdk', {
      home: 'loading the client takes longer than most commands: it is loaded by one module, lazily',
      when: 'only a model of the Hub may load its client',
    }),
    ...lazily('proxy', 'https-proxy-agent', 'source/proxy-sdk', {
      home: 'few machines have a proxy: it is loaded by one module, lazily',
      when: 'only an address that is asked by a proxy may load it',
    }),
    ...lazily('age', '(age-encryption|@scure)', 'encryption/age-sdk', {
      home: 'loading it takes longer than most commands: it is loaded by one module, lazily',
      when: 'only wrapping and unwrapping a key may load it',
    }),
    ...lazily('sigstore', '@sigstore', 'signing/sigstore-(?:sdk|client)', {
      home: 'loading the packages takes longer than most commands: two modules load them, lazily',
      when: 'only a certificate or an account may load them',
    }),
    ...lazily('noble', '@noble', 'signing/blake3', {
      home: 'few signatures have digests that Node lacks: it is loaded by one module, lazily',
      when: 'only a signature with such digests may load it',
    }),
    ...lazily('tar', 'tar-stream', 'archive/tar-stream', {
      home: 'only commands for packages read archives: it is loaded by one module, lazily',
      when: 'only reading or writing an archive may load it',
    }),
    ...lazily('framework', '(@?fastify|prom-client)', 'server/framework', {
      home: 'loading the framework takes longer than most commands: it is loaded by one module, lazily',
      when: 'only a server that starts may load its framework',
    }),
    {
      name: 'flow-opens-through-surroundings',
      severity: 'error',
      comment: 'backends are opened in one place, so that tests can put others there',
      from: { path: '^src/flow/', pathNot: '^src/flow/(surroundings|remotes)\\.ts$' },
      to: { path: '^src/remote/', pathNot: '^src/remote/(remote\\.ts|wrappers/)' },
    },
    {
      name: 'no-library-inside',
      severity: 'error',
      comment: 'mstore.ts is for other programs; inside, modules are imported where they are',
      from: { path: '^src/' },
      to: { path: '^src/mstore\\.ts$' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      comment: 'modules that import each other cannot be understood one by one',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-tests-in-src',
      severity: 'error',
      comment: 'what ships must not depend on tests',
      from: { path: '^src/' },
      to: { path: '^test/' },
    },
    onlyIn(['isomorphic-git'], ['git'], 'only the Git layer reads Git'),
    onlyIn(['@aws-sdk'], ['remote'], 'only the S3 backend knows the SDK'),
    onlyIn(
      ['@google-cloud', '@node-rs', 'google-auth-library'],
      ['remote'],
      'only the GCS backend knows the SDK',
    ),
    onlyIn(
      ['smol-toml'],
      ['worktree', 'registry'],
      'only the configuration, and files of metrics and metadata, are TOML',
    ),
    onlyIn(['yaml'], ['registry'], 'only files of metrics and metadata may be YAML'),
    onlyIn(
      ['dotenv'],
      ['flow'],
      'only a resolution reads a file of variables, when it is asked to',
    ),
    onlyIn(['@?fastify', 'prom-client'], ['server'], 'only the server knows its framework'),
    onlyIn(['@sigstore', '@noble'], ['signing'], 'only signatures know Sigstore and other hashes'),
    onlyIn(['preact'], ['web'], 'only the page is drawn by it'),
    onlyIn(['age-encryption'], ['encryption'], 'only keys of remotes are wrapped by age'),
    onlyIn(['tar-stream'], ['archive'], 'only packages are archives'),
    onlyIn(
      ['onnxruntime-(?:node|web|common)', '@tensorflow'],
      ['session'],
      'only sessions know runtimes, and import them by name where a program loads a model',
    ),
    onlyIn(['ignore'], ['base', 'git'], 'ignore patterns are understood in one place'),
    onlyIn(['yargs', 'cli-progress'], ['cli'], 'arguments and bars belong to the command line'),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'default'],
      extensions: ['.ts', '.tsx', '.js'],
    },
  },
};
