import type { FuzzTarget } from './target.ts';
import * as archive from './targets/archive.ts';
import * as dataFiles from './targets/data-files.ts';
import * as dvc from './targets/dvc.ts';
import * as encryption from './targets/encryption.ts';
import * as git from './targets/git.ts';
import * as lfs from './targets/lfs.ts';
import * as modelFiles from './targets/model-files.ts';
import * as registry from './targets/registry.ts';
import * as services from './targets/services.ts';
import * as signing from './targets/signing.ts';
import * as sources from './targets/sources.ts';
import * as store from './targets/store.ts';
import * as tables from './targets/tables.ts';
import * as values from './targets/values.ts';
import * as weights from './targets/weights.ts';

/** Everything that reads bytes from outside, by name. */
export const fuzzTargets: ReadonlyMap<string, FuzzTarget> = new Map(
  [
    store,
    tables,
    weights,
    modelFiles,
    registry,
    archive,
    dataFiles,
    dvc,
    encryption,
    git,
    values,
    services,
    signing,
    sources,
    lfs,
  ]
    .flatMap((targets): FuzzTarget[] => Object.values(targets))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((target) => [target.name, target]),
);
