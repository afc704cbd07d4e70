import type { Command } from './command.ts';

/** One line of the list of commands. */
interface CommandEntry {
  readonly name: string;
  /** Short description, for the help. */
  readonly about: string;
  /** Loads the command's module: only the one that runs is ever loaded. */
  readonly load: () => Promise<Command>;
}

/** All commands, in the order of the help. */
export const commandTable: readonly CommandEntry[] = [
  {
    name: 'init',
    about: 'Make this repository a workspace',
    load: async () => (await import('./commands/init.ts')).initCommand,
  },
  {
    name: 'remote',
    about: 'Add, list, remove and check remotes',
    load: async () => (await import('./commands/remote.ts')).remoteCommand,
  },
  {
    name: 'add',
    about: 'Store files and directories and write their pointers',
    load: async () => (await import('./commands/add.ts')).addCommand,
  },
  {
    name: 'status',
    about: 'Show what changed since it was added',
    load: async () => (await import('./commands/status.ts')).statusCommand,
  },
  {
    name: 'diff',
    about: 'Show which files differ between two versions, or from the workspace',
    load: async () => (await import('./commands/diff.ts')).diffCommand,
  },
  {
    name: 'push',
    about: 'Send what a remote lacks',
    load: async () => (await import('./commands/push.ts')).pushCommand,
  },
  {
    name: 'fetch',
    about: 'Get what the local store lacks',
    load: async () => (await import('./commands/fetch.ts')).fetchCommand,
  },
  {
    name: 'pull',
    about: 'Fetch, then check out',
    load: async () => (await import('./commands/pull.ts')).pullCommand,
  },
  {
    name: 'checkout',
    about: 'Write the files of a version, offline',
    load: async () => (await import('./commands/checkout.ts')).checkoutCommand,
  },
  {
    name: 'untrack',
    about: 'Stop tracking paths; the files stay',
    load: async () => (await import('./commands/untrack.ts')).untrackCommand,
  },
  {
    name: 'ls',
    about: 'List tracked paths and their files',
    load: async () => (await import('./commands/ls.ts')).lsCommand,
  },
  {
    name: 'cat',
    about: 'Print a file of a version',
    load: async () => (await import('./commands/cat.ts')).catCommand,
  },
  {
    name: 'register',
    about: 'Give the content of a tracked path a version that never changes',
    load: async () => (await import('./commands/register.ts')).registerCommand,
  },
  {
    name: 'deploy',
    about: 'Make a version live in an environment',
    load: async () => (await import('./commands/deploy.ts')).deployCommand,
  },
  {
    name: 'promote',
    about: 'Make what is live in one environment live in the next',
    load: async () => (await import('./commands/promote.ts')).promoteCommand,
  },
  {
    name: 'rollback',
    about: 'Go back to the version that was live before',
    load: async () => (await import('./commands/rollback.ts')).rollbackCommand,
  },
  {
    name: 'gate',
    about: 'Judge a version by the policy of an environment, and say why',
    load: async () => (await import('./commands/gate.ts')).gateCommand,
  },
  {
    name: 'archive',
    about: 'Take a version out of use and keep it',
    load: async () => (await import('./commands/version-state.ts')).archiveCommand,
  },
  {
    name: 'deprecate',
    about: 'Warn whoever uses a version from now on',
    load: async () => (await import('./commands/version-state.ts')).deprecateCommand,
  },
  {
    name: 'restore',
    about: 'Bring an archived or deprecated version back',
    load: async () => (await import('./commands/version-state.ts')).restoreCommand,
  },
  {
    name: 'delete',
    about: 'Remove a version for good',
    load: async () => (await import('./commands/version-state.ts')).deleteCommand,
  },
  {
    name: 'keygen',
    about: 'Make a key to sign with',
    load: async () => (await import('./commands/keygen.ts')).keygenCommand,
  },
  {
    name: 'sign',
    about: 'Sign a version, for everybody to check who is behind it',
    load: async () => (await import('./commands/sign.ts')).signCommand,
  },
  {
    name: 'models',
    about: 'List the models of the registry and what is live where',
    load: async () => (await import('./commands/models.ts')).modelsCommand,
  },
  {
    name: 'versions',
    about: 'List the versions of a model with their metrics',
    load: async () => (await import('./commands/versions.ts')).versionsCommand,
  },
  {
    name: 'show',
    about: 'Show everything that is known of a version',
    load: async () => (await import('./commands/show.ts')).showCommand,
  },
  {
    name: 'history',
    about: 'Show what was live where and when, who made it so, and why',
    load: async () => (await import('./commands/history.ts')).historyCommand,
  },
  {
    name: 'audit',
    about:
      'Show who changed what in the registry of a remote, and check that nothing was tampered with',
    load: async () => (await import('./commands/audit.ts')).auditCommand,
  },
  {
    name: 'registry',
    about: 'Print the registry as one JSON, or import one',
    load: async () => (await import('./commands/registry.ts')).registryCommand,
  },
  {
    name: 'publish',
    about: 'Publish a version to another service',
    load: async () => (await import('./commands/publish.ts')).publishCommand,
  },
  {
    name: 'import',
    about: 'Take a model in from the Hub, a bucket, the web or a directory, as a version',
    load: async () => (await import('./commands/import.ts')).importCommand,
  },
  {
    name: 'resolve',
    about: 'Have a model here from wherever it lives, verified, and print its directory',
    load: async () => (await import('./commands/resolve.ts')).resolveCommand,
  },
  {
    name: 'sync',
    about: 'Have what is live in an environment in a directory, verified, and follow it',
    load: async () => (await import('./commands/sync.ts')).syncCommand,
  },
  {
    name: 'package',
    about: 'Make one file of a version, to be carried elsewhere',
    load: async () => (await import('./commands/package.ts')).packageCommand,
  },
  {
    name: 'unpackage',
    about: 'Check a package and take it in, or write its files',
    load: async () => (await import('./commands/unpackage.ts')).unpackageCommand,
  },
  {
    name: 'export',
    about: 'Write the files of a version plainly',
    load: async () => (await import('./commands/export.ts')).exportCommand,
  },
  {
    name: 'lfs',
    about: 'Have Git LFS keep its objects on a remote of mstore: install, uninstall, status',
    load: async () => (await import('./commands/lfs.ts')).lfsCommand,
  },
  {
    name: 'lfs-agent',
    about: 'Move objects for Git LFS, which starts it',
    load: async () => (await import('./commands/lfs-agent.ts')).lfsAgentCommand,
  },
  {
    name: 'verify',
    about: 'Check every byte of the local store or a remote, and heal it',
    load: async () => (await import('./commands/verify.ts')).verifyCommand,
  },
  {
    name: 'validate',
    about: 'Look into model files: what is wrong with them, and what they would run',
    load: async () => (await import('./commands/validate.ts')).validateCommand,
  },
  {
    name: 'info',
    about: 'Show what a model is: type, labels, parameters, files, and whether it is here',
    load: async () => (await import('./commands/info.ts')).infoCommand,
  },
  {
    name: 'health',
    about: 'Look whether what is live can be had and loaded',
    load: async () => (await import('./commands/health.ts')).healthCommand,
  },
  {
    name: 'simulate',
    about: 'Show what rules of monitors would have done with a recorded series',
    load: async () => (await import('./commands/simulate.ts')).simulateCommand,
  },
  {
    name: 'serve',
    about: 'Serve a remote over HTTP: models, their files, and a remote for hosts without its keys',
    load: async () => (await import('./commands/serve.ts')).serveCommand,
  },
  {
    name: 'token',
    about: 'Make and take back the tokens that a server lets in',
    load: async () => (await import('./commands/token.ts')).tokenCommand,
  },
  {
    name: 'gc',
    about: 'Free what nothing needs any more, here or on a remote',
    load: async () => (await import('./commands/gc.ts')).gcCommand,
  },
  {
    name: 'du',
    about: 'Show which paths and versions take how much, here or on a remote',
    load: async () => (await import('./commands/du.ts')).duCommand,
  },
  {
    name: 'config',
    about: 'Read and change the configuration',
    load: async () => (await import('./commands/config.ts')).configCommand,
  },
  {
    name: 'textconv',
    about: 'Print a pointer as a list of files, for git diff',
    load: async () => (await import('./commands/textconv.ts')).textconvCommand,
  },
];
