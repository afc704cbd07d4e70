import * as fs from 'node:fs';
import * as path from 'node:path';
import { curves, generateKeyPair } from '../../src/signing/keys.ts';
import { authority, certificate, privatePem, signer } from './certificates.ts';
import { type PythonPlace, pythonPlace } from './python-place.ts';

/**
 * Releases of model_signing: the current one, the first of version 1, the first that wrote statements of that version, and
 * one that wrote older ones.
 */
const modelSigning = {
  // It imports OpenSSL without requiring it.
  '1.1.1': ['model-signing==1.1.1', 'sigstore==4.5.1', 'pyopenssl==26.4.0'],
  '1.0.0': ['model-signing==1.0.0', 'sigstore==3.6.7'],
  '0.3.1': ['model-signing==0.3.1', 'sigstore==3.6.7'],
  '0.2.0': ['model-signing==0.2.0', 'sigstore==3.6.7'],
} as const;

export type Release = keyof typeof modelSigning;

/** Returns the place of a release. */
export function modelSigningPlace(release: Release): PythonPlace {
  return pythonPlace('mstore-model-signing', modelSigning[release]);
}

/** The kinds of models that signatures of the fixtures are of. */
export type SignedKind = 'plain' | 'links' | 'file';

/**
 * Writes the model that all signatures of the fixtures are of.
 * @returns what was signed: its folder, or one file
 */
export function writeSignedModel(folder: string, kind: SignedKind): string {
  const files: Record<string, string> = {
    'a/b.txt': 'x\n',
    'a-b.txt': 'y\n',
    'deep/er/weights.bin': 'weights of a model, in more than one part',
    empty: '',
    '.keep': 'k',
    'ünï 😀.txt': 'z\n',
    // What Git keeps beside the files is left out.
    '.gitattributes': '*.bin filter=lfs\n',
  };
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
  fs.mkdirSync(path.join(folder, 'nothing'));
  if (kind === 'links') {
    fs.symlinkSync('deep/er/weights.bin', path.join(folder, 'link'));
    fs.symlinkSync('deep', path.join(folder, 'folder-link'));
  }
  return kind === 'file' ? path.join(folder, 'deep/er/weights.bin') : folder;
}

/** A signature that a release is to make. */
interface SigningJob {
  readonly kind: SignedKind;
  readonly model: string;
  readonly out: string;
  readonly key: string;
  /** Certificate of the key, and those that lead to a root. */
  readonly certificate?: string;
  readonly chain?: string;
  readonly hash?: 'blake2' | 'blake3';
  readonly shard?: number;
}

/** Signs by the modules that the commands of the release use: commands know no other digests, and some ask the network first. */
const signScript = `
import json, pathlib, sys
from model_signing import hashing
from model_signing._signing import sign_certificate, sign_ec_key, signing
for job in json.loads(sys.argv[1]):
    config = hashing.Config()
    how = dict(hashing_algorithm=job.get('hash', 'sha256'), allow_symlinks=job['kind'] == 'links')
    if 'shard' in job:
        config.use_shard_serialization(shard_size=job['shard'], **how)
    else:
        config.use_file_serialization(**how)
    if hasattr(config, 'set_allow_symlinks'):
        config.set_allow_symlinks(job['kind'] == 'links')
    payload = signing.Payload(config.hash(pathlib.Path(job['model'])))
    key = pathlib.Path(job['key'])
    if 'certificate' in job:
        signer = sign_certificate.Signer(key, pathlib.Path(job['certificate']), [pathlib.Path(job['chain'])])
    else:
        signer = sign_ec_key.Signer(key)
    signer.sign(payload).write(pathlib.Path(job['out']))
`;

/** The same by release 0.2, whose modules have other names. */
const oldSignScript = `
import json, pathlib, sys
from model_signing.hashing import file, memory
from model_signing.serialization import serialize_by_file
from model_signing.signature import key, pki
from model_signing.signing import in_toto, in_toto_signature
for job in json.loads(sys.argv[1]):
    def hasher(path):
        return file.SimpleFileHasher(path, memory.SHA256())
    model = pathlib.Path(job['model'])
    ignored = [model / '.gitattributes']
    manifest = serialize_by_file.ManifestSerializer(hasher).serialize(model, ignore_paths=ignored)
    if 'certificate' in job:
        signer = pki.PKISigner.from_path(job['key'], job['certificate'], [job['chain']])
    else:
        signer = key.ECKeySigner.from_path(job['key'])
    payload = in_toto.DigestsIntotoPayload.from_manifest(manifest)
    in_toto_signature.IntotoSigner(signer).sign(payload).write(pathlib.Path(job['out']))
`;

/** A signature of the fixtures: what of, with which key, and how. */
export interface SignedCase {
  readonly kind: SignedKind;
  /** The name of a key of {@link writeSigners}, or `ann`, whose certificate the signature holds. */
  readonly key: 'p256' | 'p384' | 'p521' | 'ann';
  readonly hash?: 'blake2' | 'blake3';
  readonly shard?: number;
}

/** What each release signs, by the names of the fixtures. */
export function signedCases(release: Release): Readonly<Record<string, SignedCase>> {
  const common: Record<string, SignedCase> = {
    p256: { kind: 'plain', key: 'p256' },
    file: { kind: 'file', key: 'p256' },
    // Release 0.3 has a mistake there, and cannot.
    ...(release === '0.3.1' ? {} : { certificate: { kind: 'plain', key: 'ann' } }),
  };
  if (release === '0.2.0') return common;
  return {
    ...common,
    p384: { kind: 'plain', key: 'p384' },
    p521: { kind: 'plain', key: 'p521' },
    links: { kind: 'links', key: 'p384' },
    shards: { kind: 'plain', key: 'p256', shard: 16 },
    blake2: { kind: 'plain', key: 'p256', hash: 'blake2' },
    'blake2-shards': { kind: 'plain', key: 'p256', hash: 'blake2', shard: 16 },
    ...(release === '1.1.1' ? { blake3: { kind: 'plain', key: 'p256', hash: 'blake3' } } : {}),
  };
}

/** Makes the keys of the fixtures, and the certificate of Ann, in files of a folder. */
export async function writeSigners(folder: string): Promise<void> {
  const put = (name: string, text: string) => fs.writeFileSync(path.join(folder, name), text);
  for (const curve of curves) {
    const { privatePem, publicKey } = generateKeyPair(curve);
    put(`${curve}.key`, privatePem);
    put(`${curve}.pub`, publicKey.pem);
  }
  const root = await certificate({ name: 'Root' });
  const middle = await certificate({ name: 'Middle', by: root, extensions: authority(0) });
  const ann = await certificate({ name: 'Ann', by: middle, extensions: signer() });
  put('ann.key', await privatePem(ann));
  put('ann.pem', ann.pem);
  put('middle.pem', middle.pem);
  put('ca.pem', root.pem);
}

/** Has a release sign what the fixtures hold, in a folder that {@link writeSigners} filled. */
export async function signByRelease(release: Release, folder: string): Promise<void> {
  const place = modelSigningPlace(release);
  await place.install();
  const at = (...names: string[]) => path.join(folder, ...names);
  fs.mkdirSync(at(release));
  const jobs = Object.entries(signedCases(release)).map(([name, { key, ...how }]) => {
    const model = at('models', release, name);
    const job: SigningJob = {
      ...how,
      model: writeSignedModel(model, how.kind),
      out: at(release, `${name}.sig`),
      key: at(`${key}.key`),
      ...(key === 'ann' ? { certificate: at('ann.pem'), chain: at('middle.pem') } : {}),
    };
    return job;
  });
  const script = release === '0.2.0' ? oldSignScript : signScript;
  await place.run(script, [JSON.stringify(jobs)], { cwd: folder, env: process.env });
}
