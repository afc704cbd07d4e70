import * as fs from 'node:fs';
import type { MstoreError } from '../../src/base/errors.ts';
import { deploy, type MoveResult } from '../../src/flow/environments.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { generateKeyFiles } from '../../src/flow/trust/keygen.ts';
import { attachSignature, signVersion } from '../../src/flow/trust/sign.ts';
import { signedFilesOf } from '../../src/flow/trust/signed-content.ts';
import { openSigner } from '../../src/flow/trust/signing-key.ts';
import { findSigned } from '../../src/flow/trust/version-signing.ts';
import { formatBundle, signBundle } from '../../src/signing/bundle.ts';
import { formatStatement } from '../../src/signing/statement.ts';
import { makePublished, type Published } from './resolving.ts';

/** People with keys of their own. */
export const people = ['alice', 'bob', 'mallory'] as const;
export type Person = (typeof people)[number];

/** A workspace with a remote, rules of trust, and people who sign. */
export interface Trusting extends Published {
  /** Absolute path of the private key of somebody; `.pub` behind it is the public one. */
  key(person: Person): string;
  /** Replaces the rules of the committed configuration. */
  rules(text: string): void;
  /** Signs a version as somebody, and sends that. */
  sign(version: string, ...by: Person[]): Promise<void>;
  /** Signs the files of a version as another program does, which knows no versions, and sends that. */
  attachForeign(version: string, by: Person): Promise<void>;
  /** Makes a version live, with an entry that somebody signs. */
  deployAs(by: Person | undefined, version: string, environment?: string): Promise<MoveResult>;
}

/** Makes a {@link Trusting} with the versions `v1` and `v2` of `bert`. */
export async function makeTrusting(): Promise<Trusting> {
  const ws = await makePublished();
  const config = ws.at('.modelstore/config.toml');
  const before = fs.readFileSync(config, 'utf8');
  const key = (person: Person): string => ws.at(`../${person}`);
  for (const person of people) generateKeyFiles(key(person), 'p256', undefined);
  await ws.publish('v1', { weights: 'one' });
  await ws.publish('v2', { weights: 'two' });
  const context = async () => {
    const workspace = await ws.open();
    return { workspace, remote: await chooseRemote(workspace, undefined, ws.root) };
  };
  return {
    ...ws,
    key,
    rules: (text) => fs.writeFileSync(config, `${before}\n${text}\n`),
    async sign(version, ...by) {
      const { workspace, remote } = await context();
      for (const person of by) {
        const place = { surroundings: workspace.surroundings, cwd: ws.root };
        const signer = openSigner({ file: key(person) }, place);
        await signVersion(workspace, `bert@${version}`, signer, ws.root);
      }
      await pushWithVersions(workspace, [], remote, { registry: 'all' });
    },
    async attachForeign(version, by) {
      const { workspace, remote } = await context();
      const place = { surroundings: workspace.surroundings, cwd: ws.root };
      const signer = openSigner({ file: key(by) }, place);
      const { record } = await findSigned(workspace, `bert@${version}`, ws.root);
      const { files } = await signedFilesOf(workspace, record, { ignored: [] });
      const payload = formatStatement('bert', files, { allowSymlinks: false });
      const file = ws.at('../foreign.sig');
      fs.writeFileSync(file, formatBundle(await signBundle(payload, signer)));
      await attachSignature(workspace, `bert@${version}`, file, ws.root);
      await pushWithVersions(workspace, [], remote, { registry: 'all' });
    },
    async deployAs(by, version, environment = 'production') {
      const { workspace, remote } = await context();
      const place = by === undefined ? {} : { file: key(by) };
      const target = { model: 'bert', version, environment };
      return deploy(workspace, target, { remote, key: { place, cwd: ws.root } });
    },
  };
}

/** The tables of signers, by their public keys. */
export function signersOf({ key }: Trusting, ...names: Person[]): string {
  return names.map((name) => `[signers.${name}]\nkey = '${key(name)}.pub'`).join('\n');
}

/** Waits for the error that something has to end with. */
export async function refusalOf(work: Promise<unknown>): Promise<MstoreError> {
  return work.then(
    (result) => {
      throw new Error(`It was not refused: ${JSON.stringify(result)}`);
    },
    (error: MstoreError) => error,
  );
}
