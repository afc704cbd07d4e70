import type { ByteReader } from '../weights/byte-reader.ts';
import { checkHiddenPickle, checkPickles, PickleTally } from './pickle.ts';
import { walkPickle } from './pickle-walk.ts';
import { quoted, type Report } from './report.ts';
import type { ZipMember } from './zip.ts';

/** The first pickle of files before PyTorch 1.6: one integer. */
const legacyMagic = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');
const legacyPickles = 5;
const legacyProtocol = 1001;

/** Tells whether a file is one of PyTorch before 1.6. */
export function looksLikeLegacyTorch(head: Uint8Array): boolean {
  return legacyMagic.equals(head.subarray(0, legacyMagic.length));
}

/** Tells whether the members of an archive are those that PyTorch writes. */
export function isTorchArchive(members: readonly ZipMember[]): boolean {
  return members.some(({ name }) => /^(?:[^/]+\/)?(?:data|constants)\.pkl$/.test(name));
}

/**
 * Checks the members of an archive of PyTorch: all pickles, wherever they are, and that the layout is the one
 * of `torch.save`.
 */
export function checkTorchArchive(members: readonly ZipMember[], report: Report): void {
  const roots = new Set(members.map(({ name }) => name.split('/')[0] ?? ''));
  const names = new Set(members.map(({ name }) => name));
  const [root = ''] = roots;
  if (roots.size !== 1 || !names.has(`${root}/data.pkl`)) {
    const message = `It has ${roots.size} outermost names, and data.pkl must be in the only one`;
    report.add('torch-layout', message);
  }
  const codes = members.filter(({ name }) => name.startsWith(`${root}/code/`));
  const [code] = codes;
  if (code !== undefined)
    report.add(
      'torch-code',
      `${codes.length} members of TorchScript are code`,
      `member ${quoted(code.name)}`,
    );
  const tally = checkMembers(members, report, true);
  if (!names.has(`${root}/data.pkl`)) return;
  const sizes = new Map(members.map(({ name, size }) => [name, size]));
  for (const [key, { bytes }] of tally.storages) {
    const size = sizes.get(`${root}/data/${key}`);
    const where = `member ${quoted(`${root}/data/${key}`)}`;
    if (size === undefined) report.add('torch-storage', 'The storage is not there', where);
    else if (bytes !== undefined && bytes !== size)
      report.add('torch-storage', `The storage needs ${bytes} bytes, and has ${size}`, where);
  }
}

/** Looks for pickles in all members of an archive, by name and by content. */
export function checkMembers(
  members: readonly ZipMember[],
  report: Report,
  isTorch: boolean,
): PickleTally {
  const tally = new PickleTally();
  let found = 0;
  for (const { name, size, open } of members) {
    if (size === 0) continue;
    const content = open();
    if (content === undefined) continue;
    const member = `member ${quoted(name)}`;
    const stream = { file: content, start: 0, end: content.size, member };
    if (/\.(?:pkl|debug_pkl|pickle|p|joblib)$/i.test(name)) {
      found++;
      checkPickles(stream, report, tally);
    } else if (checkHiddenPickle(stream, report, tally)) found++;
  }
  if (found > 0 || isTorch) tally.into(report.summary, isTorch);
  return tally;
}

/** Checks a file of PyTorch before 1.6: five pickles, then the bytes of the storages. */
export function checkLegacyTorch(file: ByteReader, report: Report): void {
  const tally = new PickleTally();
  const limits = { stepsMax: 16 };
  const magic = walkPickle(file, 0, file.size, limits);
  const protocol = walkPickle(file, magic.end, file.size, limits);
  if (protocol.integer !== legacyProtocol)
    report.add('torch-legacy', `The second pickle is not ${legacyProtocol}`, `byte ${magic.end}`);
  let at = 0;
  let count = 0;
  while (count < legacyPickles && at < file.size) {
    const end = checkPickles({ file, start: at, end: file.size }, report, tally, 1);
    if (end === at) break;
    at = end;
    count++;
  }
  if (count < legacyPickles)
    report.add('torch-legacy', `It has ${count} pickles, not five`, `byte ${at}`);
  tally.into(report.summary, true);
}

/** Checks a file that is pickles and nothing else. */
export function checkBarePickle(file: ByteReader, report: Report): void {
  const tally = new PickleTally();
  const end = checkPickles({ file, start: 0, end: file.size }, report, tally);
  if (end < file.size && report.findings.length === 0)
    report.add('pickle-trailing', 'Bytes follow the last pickle', `byte ${end}`);
  tally.into(report.summary, true);
}
