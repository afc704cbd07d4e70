import type { AccessGrant, AccessPolicy } from './remote.ts';
import type { BucketPlace } from './service.ts';

/** Patterns of one condition, which may have twelve operators. */
const patternsMax = 4;

/**
 * Writes the bindings of IAM that give somebody the least rights in a folder of a bucket: for a custom role of the one
 * right to delete, as no role that there is has it without the right to write over objects. Listing belongs to
 * the bucket.
 */
export function gcsPolicy(
  { bucket, prefix }: BucketPlace,
  { creates, deletes, never }: AccessGrant,
): AccessPolicy {
  const top = `projects/_/buckets/${bucket}/objects/${prefix}`;
  const bindings: object[] = [
    binding('roles/storage.legacyBucketReader'),
    binding('roles/storage.objectViewer', 'read', startsWith(top)),
  ];
  if (creates.length > 0) {
    const refused = never.map((pattern) => ` && !${oneOf(top, pattern)}`).join('');
    for (let i = 0; i < creates.length; i += patternsMax) {
      const allowed = anyOf(top, creates.slice(i, i + patternsMax));
      const expression = refused === '' ? allowed : `(${allowed})${refused}`;
      const title = `create ${i / patternsMax + 1}`;
      bindings.push(binding('roles/storage.objectCreator', title, expression));
    }
  }
  if (deletes.length > 0) {
    for (let i = 0; i < deletes.length; i += patternsMax) {
      const expression = anyOf(top, deletes.slice(i, i + patternsMax));
      const title = `delete ${i / patternsMax + 1}`;
      bindings.push(binding('projects/PROJECT/roles/mstoreDelete', title, expression));
    }
  }
  const role =
    'gcloud iam roles create mstoreDelete --project=PROJECT --permissions=storage.objects.delete';
  return {
    kind: 'IAM of Cloud Storage',
    document: { version: 3, bindings },
    commands: [
      ...(deletes.length > 0 ? [role] : []),
      `gcloud storage buckets set-iam-policy gs://${bucket} policy.json`,
    ],
  };
}

function binding(role: string, title?: string, expression?: string): object {
  const condition =
    title === undefined ? {} : { condition: { title: `mstore ${title}`, expression } };
  return { role, members: ['MEMBER'], ...condition };
}

function anyOf(top: string, patterns: readonly string[]): string {
  return patterns.map((pattern) => oneOf(top, pattern)).join(' || ');
}

/** Says in the language of conditions, which knows no patterns, that a name fits one. */
function oneOf(top: string, pattern: string): string {
  const [head = '', middle, tail] = pattern.split('*');
  if (middle === undefined) return `resource.name == '${top}${head}'`;
  if (tail === undefined) {
    const begins = startsWith(top + head);
    return middle === '' ? begins : `(${begins} && resource.name.endsWith('${middle}'))`;
  }
  // Something stands between the head and the middle, whatever follows.
  const within = `${top.slice(top.indexOf('/objects/'))}${head}{part}${middle}`;
  return `(${startsWith(top + head)} && resource.name.extract('${within}') != '')`;
}

function startsWith(text: string): string {
  return `resource.name.startsWith('${text}')`;
}
