import type { ByteReader } from '../weights/byte-reader.ts';
import { looksLikeZip } from '../weights/zip.ts';
import { expectedFormat } from './detect.ts';
import { checkKerasArchive, isKerasArchive } from './keras.ts';
import { checkArrays, isArrayArchive } from './npy.ts';
import { quoted, Report } from './report.ts';
import { checkMembers, checkTorchArchive, isTorchArchive } from './torch.ts';
import { checkZip, type ZipMember } from './zip.ts';

/** What an archive turned out to be. */
export type ArchiveFormat = 'torch-zip' | 'keras' | 'npz' | 'zip';

/** Archives inside each other. */
const depthMax = 3;

/**
 * Checks a zip archive, and what is in it, by what its members are.
 * @param name of the file or member
 */
export function checkArchive(
  file: ByteReader,
  name: string,
  report: Report,
  depth = 1,
): ArchiveFormat {
  const members = checkZip(file, report);
  for (const member of members) checkNested(member, report, depth);
  const hasArrays = checkArrays(members, report, isArrayArchive(members));
  if (isTorchArchive(members)) {
    checkTorchArchive(members, report);
    return 'torch-zip';
  }
  if (isKerasArchive(members)) {
    checkKerasArchive(members, report);
    return 'keras';
  }
  checkMembers(members, report, false);
  if (hasArrays && isArrayArchive(members)) return 'npz';
  const expected = expectedFormat(name);
  if (expected === 'torch')
    report.add('torch-layout', 'The archive has no data.pkl: it is none of PyTorch');
  if (expected === 'keras') report.add('keras-layout', 'The archive has no config.json');
  return 'zip';
}

/** Checks a member that is an archive itself. */
function checkNested({ name, head, open }: ZipMember, report: Report, depth: number): void {
  const start = head();
  if (!looksLikeZip(new DataView(start.buffer, start.byteOffset, start.length))) return;
  const where = `member ${quoted(name)}`;
  if (depth >= depthMax) {
    report.add('archive-unread', 'There are too many archives inside each other', where);
    return;
  }
  const content = open();
  if (content === undefined) return;
  const inner = new Report();
  checkArchive(content, name, inner, depth + 1);
  report.include(inner, where);
}
