/**
 * Bounds on everything that is read from outside. Units are in the name; each is far above what real
 * models need and far below what would harm the machine.
 */
export const limits = {
  /** A pointer file. 1,000 inline files with long paths stay under 2 MB. */
  pointerBytesMax: 16 * 1024 * 1024,
  /** Files listed inside a pointer; larger trees are listed by the tree blob alone. */
  pointerFilesMax: 1_000,
  /** Entries of one tree. */
  treeEntriesMax: 5_000_000,
  /** Canonical JSON of one tree. */
  treeBytesMax: 512 * 1024 * 1024,
  /** A path inside a tree, in UTF-8 bytes (PATH_MAX of Linux). */
  pathBytesMax: 4_096,
  /** One component of a path, in UTF-8 bytes (NAME_MAX of all common file systems). */
  nameBytesMax: 255,
  /** Symbolic links followed while one path is resolved, as in Linux. */
  linkHopsMax: 40,
  /** Chunks of one blob: 16 Mi chunks of 128 KiB or more are 2 TiB or more. */
  recipeChunksMax: 16 * 1024 * 1024,
  /** Chunks of one pack. */
  packChunksMax: 16 * 1024 * 1024,
  /** Stored bytes of a pack after which the next chunk opens another pack. */
  packBytesTarget: 256 * 1024 * 1024,
  /** Chunks of a pack after which the next chunk opens another pack: bounds the writer's memory. */
  packChunksTarget: 65_536,
  /** The header of a remote or a store, `mstore.json`. */
  headerBytesMax: 64 * 1024,
  /** A file of identities of age. */
  identityFileBytesMax: 64 * 1024,
  /** One configuration file. */
  configBytesMax: 128 * 1024,
  /** A file of variables, `.env`. */
  envFileBytesMax: 64 * 1024,
  /** A lock file: some 10,000 references. */
  lockFileBytesMax: 4 * 1024 * 1024,
  /** A file of ignore patterns. */
  ignoreBytesMax: 256 * 1024,
  /** One pattern of it, in characters: no path is longer, and each becomes a regular expression. */
  ignorePatternMax: 4_096,
  /** One root record of a remote. */
  rootBytesMax: 64 * 1024 * 1024,
  /** A file with a whole registry, for import. */
  registryFileBytesMax: 64 * 1024 * 1024,
  /** Any file in YAML. */
  yamlBytesMax: 4 * 1024 * 1024,
  /** Names, values, signs and spaces between them of a file in YAML: each takes its parser 1 KiB or more. */
  yamlPartsMax: 250_000,
  /** A file of metrics. */
  metricsBytesMax: 1024 * 1024,
  /** Values of a file of metrics, and levels of names they may stand below. */
  metricsMax: 10_000,
  metricsDepthMax: 32,
  /** The name of a metric, in UTF-8 bytes. */
  metricNameBytesMax: 255,
  /** A metadata file. */
  metadataBytesMax: 1024 * 1024,
  /** One object of a registry: a version record with its metadata, or an entry. */
  registryObjectBytesMax: 4 * 1024 * 1024,
  /** One signature of a version: some 250,000 files with paths of common length. */
  signatureBytesMax: 64 * 1024 * 1024,
  /** A file with a key or with certificates. */
  keyBytesMax: 256 * 1024,
  /** The manifest of a package: some 400,000 files with paths of common length. */
  packageManifestBytesMax: 64 * 1024 * 1024,
  /** What a byte of a package may unpack to, beyond {@link limits.packageSpareBytes}: gzip reaches a thousand. */
  packageRatioMax: 100,
  packageSpareBytes: 256 * 1024 * 1024,
  /** Directory levels below an added directory. */
  treeDepthMax: 128,
  /** A bound of the bytes a second: below it, many connections at once would look silent. */
  rateBytesMin: 10_000,
} as const;
