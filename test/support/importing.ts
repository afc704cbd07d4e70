import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import {
  type ImportRequest,
  type ImportResult,
  importModel,
} from '../../src/flow/import/import.ts';
import { type RefreshResult, refreshImport } from '../../src/flow/import/refresh.ts';
import { type Surroundings, systemSurroundings } from '../../src/flow/surroundings.ts';
import { openWorkspace, type Workspace } from '../../src/flow/workspace.ts';
import { cliEnv, makeWorkspace } from './cli.ts';
import type { HubServer } from './hub-server.ts';
import { tempFolder } from './temp.ts';

/** A workspace into which models are imported. */
export interface Importer {
  readonly root: string;
  readonly home: string;
  open(): Promise<Workspace>;
  take(from: string, as: string, more?: Partial<ImportRequest>): Promise<ImportResult>;
  refresh(model: string, selector: string): Promise<RefreshResult>;
  /** The files of a version, as they are checked out. */
  files(as: string): Promise<Record<string, string>>;
  /** What imports that did not end have left. */
  kept(): string[];
}

/** How {@link makeImporter} sets things up. */
export interface ImporterOptions {
  readonly hub?: HubServer;
  readonly env?: NodeJS.ProcessEnv;
  readonly more?: Partial<Surroundings>;
  readonly signal?: AbortSignal;
}

/** Makes an {@link Importer}; requests that fail are tried again at once. */
export async function makeImporter(options: ImporterOptions = {}): Promise<Importer> {
  const { root } = await makeWorkspace();
  const home = tempFolder();
  const env = {
    ...cliEnv,
    HOME: home,
    ...(options.hub === undefined ? {} : { HF_ENDPOINT: options.hub.endpoint }),
    ...options.env,
  };
  const open = (): Promise<Workspace> =>
    openWorkspace(root, { ...systemSurroundings(env), sleep: async () => {}, ...options.more });
  const importer: Importer = {
    root,
    home,
    open,
    async take(from, as, more = {}) {
      const [model = '', version = ''] = as.split('@');
      const request = { from, model, version, cwd: root, ...more };
      return importModel(await open(), request, { jobs: 1, signal: options.signal });
    },
    async refresh(model, selector) {
      return refreshImport(await open(), { model, selector }, { cwd: root });
    },
    async files(as) {
      const { checkoutTo } = await import('../../src/flow/checkout-to.ts');
      const { findTargets } = await import('../../src/flow/targets.ts');
      const workspace = await open();
      const { tracked } = await findTargets(workspace, [as], root);
      const to = path.join(tempFolder(), 'out');
      await checkoutTo(workspace, tracked, to);
      return contentBelow(to);
    },
    kept: () => namesBelow(path.join(root, '.modelstore/tmp')),
  };
  return importer;
}

/** The files below a folder: path and content, or what stands for a long one. */
function contentBelow(folder: string): Record<string, string> {
  return Object.fromEntries(
    namesBelow(folder).map((name) => [name, contentOf(fs.readFileSync(path.join(folder, name)))]),
  );
}

/** A short content, or the digest of a long one. */
export function contentOf(bytes: Buffer | string): string {
  const whole = Buffer.from(bytes);
  return whole.length < 200 ? whole.toString() : createHash('sha256').update(whole).digest('hex');
}

function namesBelow(folder: string): string[] {
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
}
