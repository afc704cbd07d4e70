import type { Digest } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { pathProblem, printable } from '../base/names.ts';
import { passingError } from './failures.ts';
import { plainRefusal, type Web, type WebFile } from './http.ts';
import { corruptSource, type Snapshot } from './snapshot.ts';

/**
 * Opens what lies at one address: a file whose digest is known, so that it is the same whenever it is read.
 * @param url without a fragment
 * @throws MstoreError `not-found`, `remote-refused`, `remote-unreachable`, `corrupt-source`
 */
export async function openWebFile(
  { url, sha256 }: { readonly url: string; readonly sha256: Digest },
  web: Web,
  signal: AbortSignal | undefined,
): Promise<Snapshot> {
  const address = new URL(url);
  // What stands behind the ? may be a signature that lets whoever has it in.
  const where = address.origin + address.pathname;
  const path = nameOf(address);
  const file: WebFile = {
    url: address,
    where,
    path,
    size: undefined,
    refusal: (answer) => plainRefusal(answer, where, path),
  };
  const size = await web.policy.again(() => sizeOf(file, web, signal), signal);
  return {
    reference: `${where}#sha256=${sha256}`,
    facts: { kind: 'https', url: where, sha256 },
    isFixed: true,
    files: [{ path, size, sha256 }],
    read: (_, start, options) => web.read({ ...file, size }, start, options.signal),
  };
}

function nameOf(url: URL): string {
  let name = '';
  try {
    name = decodeURIComponent(url.pathname.split('/').at(-1) ?? '');
  } catch {
    // Said below.
  }
  if (name !== '' && pathProblem(name) === undefined && !name.includes('/')) return name;
  throw new MstoreError('usage', `${printable(url.origin + url.pathname)} names no file`, {
    hint: 'Write the address of a file or an archive, as in https://HOST/models/bert.tar.gz#sha256=DIGEST',
  });
}

/** Asks for one byte: some addresses are good for reads alone, so that nothing else can be asked of them. */
async function sizeOf(file: WebFile, web: Web, signal: AbortSignal | undefined): Promise<number> {
  const { url, where, path } = file;
  const answer = await web.send(url, where, { headers: { range: 'bytes=0-0' }, signal });
  answer.close();
  const passing = passingError(answer, where);
  if (passing !== undefined) throw passing;
  const isEmpty = answer.status === 416;
  if (answer.status !== 200 && answer.status !== 206 && !isEmpty) throw file.refusal(answer);
  const range = /\/(\d{1,16})$/.exec(answer.header('content-range') ?? '')?.[1];
  const length = answer.status === 200 ? answer.header('content-length') : undefined;
  const size = Number(range ?? length ?? Number.NaN);
  if (Number.isSafeInteger(size)) return size;
  throw corruptSource(where, `it does not tell how many bytes ${printable(path)} has`);
}
