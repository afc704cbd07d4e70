import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Digest, sha256 } from '../../src/base/digest.ts';
import { addRemote, chooseToClear } from '../../src/flow/remotes.ts';
import { chooseFetchRemotes } from '../../src/flow/several-remotes.ts';
import { findTargets } from '../../src/flow/targets.ts';
import type { Finding } from '../../src/flow/verify/findings.ts';
import { type VerifyOptions, type VerifyReport, verify } from '../../src/flow/verify/verify.ts';
import { formatRecipe, parseRecipe, Recipe } from '../../src/store/recipe.ts';
import type { Project } from './flow-project.ts';
import { noise, scratchFolder } from './flow-scratch.ts';
import { filesBelow } from './flow-state.ts';

/** How {@link verifyProject} verifies. */
export interface VerifyHow extends VerifyOptions {
  /** Name or URL of a remote; the local store by default. */
  readonly remote?: string;
  /** References and paths. */
  readonly args?: readonly string[];
  /** Heals from all other remotes of the configuration. */
  readonly repair?: boolean;
}

/** Verifies the store of a project, or a remote, with everything opened afresh. */
export async function verifyProject(
  project: Project,
  { remote, args, repair, ...options }: VerifyHow = {},
): Promise<VerifyReport> {
  const workspace = await project.open();
  const chosen =
    remote === undefined ? undefined : await chooseToClear(workspace, remote, project.root);
  const others = workspace.config.remotes().length;
  const choices =
    repair === true && others > 0 ? await chooseFetchRemotes(workspace, [], project.root) : [];
  const targets =
    args === undefined ? undefined : (await findTargets(workspace, args, project.root)).tracked;
  const repairFrom =
    repair === true ? choices.filter(({ name }) => name !== remote) : options.repairFrom;
  return verify(workspace, chosen, { ...options, targets, repairFrom });
}

/** The findings of a report, without what only says that something is as it may be. */
export function damageIn({ findings }: VerifyReport): Finding[] {
  return findings.filter(({ severity, healed }) => severity === 'damage' && !healed);
}

/** Kinds of the findings of a report, sorted. */
export function kindsIn({ findings }: VerifyReport): string[] {
  return findings.map(({ kind }) => kind).sort();
}

/** Adds a directory remote to a project; returns its folder. */
export async function directoryRemote(project: Project, name = 'origin'): Promise<string> {
  const folder = path.join(scratchFolder(), name);
  const options = { isDefault: name === 'origin', create: true };
  await addRemote(await project.open(), name, folder, options, project.root);
  return folder;
}

/** Lays two files of several chunks, a small one and a directory, and adds them. */
export async function layModels(project: Project): Promise<void> {
  project.write('models/a.bin', noise(3_000_000, 'a'));
  project.write('models/b.bin', Buffer.concat([noise(1_500_000, 'a'), noise(900_000, 'b')]));
  project.write('small.bin', noise(2_000, 'small'));
  project.write('bert/config.json', '{"layers": 12}');
  project.write('bert/weights.bin', noise(1_200_000, 'weights'));
  await project.add('models/a.bin');
  await project.add('models/b.bin', 'small.bin');
  await project.add('bert');
}

/** The folder of the local store of a project. */
export function storeOf(project: Project): string {
  return project.at('.modelstore/store');
}

/** Files of a store or directory remote below a prefix, absolute, by their size: the largest first. */
export function objectsBelow(folder: string, prefix: string): string[] {
  const top = path.join(folder, prefix);
  if (!fs.existsSync(top)) return [];
  return filesBelow(top)
    .map((name) => path.join(top, name))
    .sort((a, b) => fs.statSync(b).size - fs.statSync(a).size);
}

/** The key of an object that is a file. */
export function keyOf(folder: string, file: string): string {
  return path.relative(folder, file).split(path.sep).join('/');
}

/** The digests of all packs, index objects, recipes and records of a store or directory remote, by their keys. */
export function objectsOf(folder: string): Record<string, Digest> {
  const keep = /^(?:packs|index|recipes|refs|quarantine)\//;
  return Object.fromEntries(
    filesBelow(folder)
      .filter((name) => keep.test(name))
      .map((name) => [name, sha256(fs.readFileSync(path.join(folder, name)))]),
  );
}

/** Bytes of a well-formed recipe for one blob that lists the chunks of another one. */
export function wrongRecipe(blob: Digest, others: Buffer, other: Digest): Buffer {
  const { size, rows } = parseRecipe(others, other);
  return formatRecipe(new Recipe(blob, size, rows));
}

/** The digest that a file of a store is named by, without its suffix. */
export function digestOfFile(file: string): Digest {
  return path.basename(file).replace(/\..*$/, '') as Digest;
}
