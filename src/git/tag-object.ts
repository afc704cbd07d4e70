import { MstoreError } from '../base/errors.ts';

/** Who made a tag. */
export interface Tagger {
  readonly name: string;
  readonly mail: string;
}

/** An annotated tag that leads to a commit. */
export interface AnnotatedTag {
  readonly name: string;
  /** Id of the commit it leads to, tags of tags followed. */
  readonly commit: string;
  /** Undefined in tags of the oldest Gits. */
  readonly tagger: Tagger | undefined;
  /** When it was made: whole seconds since 1970-01-01 UTC. */
  readonly seconds: number;
  /** Without a signature, and without white space around it. */
  readonly message: string;
}

/** An annotated tag that is to be made. */
export interface NewTag {
  readonly name: string;
  readonly commit: string;
  readonly tagger: Tagger;
  /** Whole seconds since 1970-01-01 UTC. */
  readonly seconds: number;
  readonly message: string;
}

/** Tag messages are some lines; notes of a release may be long. */
export const tagBytesMax = 1024 * 1024;

/** What the object of a tag says of it; the commit may still be behind other tags. */
export type TagContent = Omit<AnnotatedTag, 'name' | 'commit'>;

/**
 * Returns the id of the object that an annotated tag names.
 * @throws MstoreError `git-failed`
 */
export function parseTag(oid: string, content: Buffer): string {
  const match = /^object ([0-9a-f]{40}|[0-9a-f]{64})\n/.exec(content.toString('latin1', 0, 80));
  if (match?.[1] !== undefined) return match[1];
  throw new MstoreError('git-failed', `The Git tag ${oid} has no valid content`, {
    hint: 'Run git fsck to see what is damaged',
    details: { oid },
  });
}

/** Reads who made a tag, when, and what it says. */
export function parseTagContent(content: Buffer): TagContent {
  const text = content.toString('utf8');
  const end = text.indexOf('\n\n');
  const head = end < 0 ? text : text.slice(0, end);
  const { tagger, seconds } = readTagger(head);
  const message = (end < 0 ? '' : text.slice(end + 2)).split(
    /^-----BEGIN (?:PGP|SSH|SIGNED)[A-Z ]*-----$/m,
  );
  return { tagger, seconds, message: (message[0] ?? '').trim() };
}

/** Reads `tagger NAME <MAIL> SECONDS ZONE`, step by step: one pattern of it takes the square of its length. */
function readTagger(head: string): Pick<TagContent, 'tagger' | 'seconds'> {
  const line = head.split('\n').find((one) => one.startsWith(taggerKey)) ?? '';
  const end = /> (-?\d{1,15}) [-+]\d{4}$/.exec(line);
  const start = line.indexOf('<');
  if (end === null || start < 0 || start > end.index) return { tagger: undefined, seconds: 0 };
  const name = line.slice(taggerKey.length, start).replace(/ $/, '');
  return { tagger: { name, mail: line.slice(start + 1, end.index) }, seconds: Number(end[1]) };
}

const taggerKey = 'tagger ';

/** Makes the content of the object of a new tag; what could end a field early is taken out. */
export function formatTag({ name, commit, tagger, seconds, message }: NewTag): Buffer {
  const clean = (text: string) => text.replace(/[\p{Cc}<>]/gu, ' ').trim();
  const lines = [
    `object ${commit}`,
    'type commit',
    `tag ${name}`,
    `tagger ${clean(tagger.name)} <${clean(tagger.mail)}> ${seconds} +0000`,
    '',
    `${message.replaceAll('\0', '').trim()}\n`,
  ];
  return Buffer.from(lines.join('\n'));
}
