import { invariant, isMstoreError } from '../base/errors.ts';
import { badTagName, isTagName, tooLarge } from './checks.ts';
import type { ConfiguredPrograms } from './configured-programs.ts';
import type { GitLayout } from './layout.ts';
import type { GitRunner } from './process.ts';
import { readHead } from './refs.ts';
import type { GitHead, GitReference } from './repository.ts';
import { describeReference, isObjectId } from './revision.ts';
import { batchReader, inParts, recordCutter } from './stream-records.ts';
import {
  type AnnotatedTag,
  formatTag,
  type NewTag,
  parseTagContent,
  tagBytesMax,
} from './tag-object.ts';

/** One repository and the way to run Git in it. */
export interface Binary {
  readonly layout: GitLayout;
  readonly run: GitRunner;
  /** Finds out, once, which programs the repository itself would have Git run. */
  readonly programs: () => Promise<ConfiguredPrograms>;
}

/** Tells what HEAD points to. */
export async function head(git: Binary): Promise<GitHead> {
  const { refStorage, objectFormat } = git.layout;
  if (refStorage === 'files' && objectFormat === 'sha1') {
    // Git keeps it in a file or two; a process would take longer than many a command.
    const { name, oid } = readHead(git.layout);
    return { branch: branchOf(name ?? ''), commit: oid };
  }
  let name = '';
  const [, commits] = await Promise.all([
    // Exit code 1: HEAD is detached.
    git.run(['symbolic-ref', '-q', 'HEAD'], {
      onData: (chunk) => {
        name += chunk.toString('utf8');
        return name.length < 64 * 1024;
      },
      successCodes: [0, 1],
    }),
    resolveAll(git, ['HEAD']),
  ]);
  return { branch: branchOf(name), commit: commits[0] };
}

function branchOf(fullName: string): string | undefined {
  return /^refs\/heads\/([^\n]+)\n?$/.exec(fullName)?.[1];
}

/** Resolves harmless names to commits, in one process; names travel as data, never as arguments. */
export async function resolveAll(
  git: Binary,
  names: readonly string[],
): Promise<Array<string | undefined>> {
  const answers: Array<string | undefined> = [];
  const lines = names.map((name) => `${name}^{commit}`);
  await git.run(['cat-file', '--batch-check'], {
    input: inParts(lines, '\n'),
    onData: recordCutter(10, (line) => {
      answers.push(/^([0-9a-f]{40,64}) commit \d+$/.exec(line.toString('utf8'))?.[1]);
      return true;
    }),
    withoutFetch: true,
  });
  return answers;
}

/** Lists branches, tags and remote branches, peeled to commits. */
export async function references(git: Binary): Promise<GitReference[]> {
  const found = await listReferences(git, ['refs/heads', 'refs/tags', 'refs/remotes']);
  // Git peels tags of tags in its own format strings only from 2.45 on.
  const tags = found.filter((each) => each.type === 'tag');
  const peeled =
    tags.length === 0
      ? []
      : await resolveAll(
          git,
          tags.map((tag) => tag.oid),
        );
  const commitOfTag = new Map(tags.map((tag, i) => [tag.oid, peeled[i]]));
  const result: GitReference[] = [];
  for (const { fullName, oid, type } of found) {
    const described = describeReference(fullName);
    const commit = type === 'commit' ? oid : commitOfTag.get(oid);
    if (described !== undefined && commit !== undefined) result.push({ ...described, commit });
  }
  return result;
}

/** Lists what references, HEADs and reflogs of all working trees lead to. */
export async function keptCommits(git: Binary): Promise<string[]> {
  const found = new Set<string>();
  const which = ['--no-walk=unsorted', '--ignore-missing', '--all', '--reflog'];
  await git.run(['rev-list', ...which], {
    onData: recordCutter(10, (line) => {
      found.add(line.toString('latin1'));
      return true;
    }),
  });
  return [...found].filter(isObjectId);
}

interface FoundReference {
  readonly fullName: string;
  readonly oid: string;
  readonly type: string;
}

async function listReferences(git: Binary, below: readonly string[]): Promise<FoundReference[]> {
  const found: FoundReference[] = [];
  await git.run(['for-each-ref', '--format=%(objecttype) %(objectname) %(refname)', ...below], {
    onData: recordCutter(10, (line) => {
      const [type = '', oid = '', ...name] = line.toString('utf8').split(' ');
      found.push({ type, oid, fullName: name.join(' ') });
      return true;
    }),
  });
  return found;
}

/** Lists annotated tags that lead to commits. */
export async function annotatedTags(
  git: Binary,
  wanted: (name: string) => boolean,
): Promise<AnnotatedTag[]> {
  const tags = (await listReferences(git, ['refs/tags']))
    .map(({ fullName, oid, type }) => ({ name: fullName.slice('refs/tags/'.length), oid, type }))
    .filter(({ name, type }) => type === 'tag' && wanted(name));
  if (tags.length === 0) return [];
  const oids = tags.map(({ oid }) => oid);
  const contents = new Map<string, ReturnType<typeof parseTagContent>>();
  let current = '';
  const commits = await resolveAll(git, oids);
  await git.run(['cat-file', '--batch', '--buffer'], {
    input: inParts(new Set(oids), '\n'),
    onData: batchReader({
      header: ([oid = '', , size]) => {
        current = oid;
        if (Number(size) > tagBytesMax) throw tooLarge(oid, Number(size), tagBytesMax);
        return Number(size);
      },
      content: (bytes) => {
        contents.set(current, parseTagContent(bytes));
      },
    }),
  });
  return tags.flatMap(({ name, oid }, i) => {
    const [content, commit] = [contents.get(oid), commits[i]];
    return content === undefined || commit === undefined ? [] : [{ name, commit, ...content }];
  });
}

/** Makes an annotated tag unless its name is taken. */
export async function createTag(git: Binary, tag: NewTag): Promise<'created' | 'exists'> {
  if (!isTagName(tag.name)) throw badTagName(tag.name);
  invariant(isObjectId(tag.commit), 'the id of a commit');
  let oid = '';
  await git.run(['mktag'], {
    input: [formatTag(tag).toString('utf8')],
    onData: recordCutter(10, (line) => {
      oid = line.toString('latin1');
      return true;
    }),
  });
  try {
    await git.run(['update-ref', '--stdin'], { input: [`create refs/tags/${tag.name} ${oid}\n`] });
    return 'created';
  } catch (error) {
    if (isMstoreError(error) && error.message.includes('reference already exists')) return 'exists';
    throw error;
  }
}
