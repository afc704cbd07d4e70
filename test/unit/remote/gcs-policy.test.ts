import { describe, expect, it } from 'vitest';
import { grantOf, roleNames, roles } from '../../../src/flow/access/roles.ts';
import { gcsPolicy } from '../../../src/remote/gcs-policy.ts';

interface Policy {
  readonly version: number;
  readonly bindings: ReadonlyArray<{
    readonly role: string;
    readonly members: readonly string[];
    readonly condition?: { readonly title: string; readonly expression: string };
  }>;
}

const place = { bucket: 'models', prefix: 'team/', location: 'gs://models/team' };
const top = 'projects/_/buckets/models/objects/team/';

function policyOf(name: (typeof roleNames)[number]): Policy {
  return gcsPolicy(place, grantOf(roles[name])).document as Policy;
}

/** Reads a condition as Cloud Storage does, as far as ours go. */
function holds(expression: string, name: string): boolean {
  const js = expression
    .replaceAll('resource.name.startsWith', 'name.startsWith')
    .replaceAll('resource.name.endsWith', 'name.endsWith')
    .replaceAll('resource.name.extract', 'extract')
    .replaceAll('resource.name ==', 'name ===');
  const extract = (template: string): string => {
    const [head = '', tail = ''] = template.split('{part}');
    const from = name.indexOf(head);
    const end = from < 0 ? -1 : name.indexOf(tail, from + head.length);
    return end < 0 ? '' : name.slice(from + head.length, end);
  };
  return new Function('name', 'extract', `return ${js}`)(name, extract) as boolean;
}

function allows(role: (typeof roleNames)[number], right: string, key: string): boolean {
  return policyOf(role).bindings.some(
    ({ condition }) =>
      condition?.title.startsWith(`mstore ${right}`) && holds(condition.expression, top + key),
  );
}

describe('bindings of Cloud Storage', () => {
  it.each(roleNames)('are such as the service takes, for a %s', (role) => {
    const { version, bindings } = policyOf(role);
    expect(version).toBe(3);
    for (const { condition, members } of bindings) {
      expect(members).toEqual(['MEMBER']);
      const operators = condition?.expression.match(/&&|\|\||!(?!=)/g) ?? [];
      expect(operators.length).toBeLessThanOrEqual(12);
      expect(condition?.expression.length ?? 0).toBeLessThan(12_000);
    }
    expect(bindings[0]?.role).toBe('roles/storage.legacyBucketReader');
  });

  it.each([
    ['reader', 'read', 'packs/ab/x.pack', true],
    ['reader', 'create', 'packs/ab/x.pack', false],
    ['publisher', 'create', 'mstore.json', true],
    ['publisher', 'create', 'mstore.json.bak', false],
    ['publisher', 'create', 'packs/ab/x.pack', true],
    ['publisher', 'create', 'gc/x/1.swept', true],
    ['publisher', 'create', 'gc/x/mark.json', false],
    ['publisher', 'create', 'refs/models/m/versions/v1.json', true],
    ['publisher', 'create', 'refs/models/m/environments/production/00000001.json', false],
    ['publisher', 'create', 'refs/models/m/environments/versions/00000001.json', false],
    ['publisher', 'delete', 'packs/ab/x.pack', false],
    ['promoter', 'create', 'refs/models/m/environments/production/00000001.json', true],
    ['promoter', 'create', 'refs/models/m/versions/v1.json', false],
    ['promoter', 'create', 'audit/0000/00000001.json', true],
    ['collector', 'delete', 'packs/ab/x.pack', true],
    ['collector', 'delete', 'probes/x', true],
    ['collector', 'delete', 'refs/models/m/versions/v1.json', false],
    ['collector', 'delete', 'audit/0000/00000001.json', false],
  ] as const)('let a %s %s %s: %s', (role, right, key, allowed) => {
    expect(allows(role, right, key)).toBe(allowed);
  });

  it('say how the one right to delete is made a role', () => {
    expect(gcsPolicy(place, grantOf(roles.reader)).commands).toHaveLength(1);
    expect(gcsPolicy(place, grantOf(roles.collector)).commands[0]).toContain(
      '--permissions=storage.objects.delete',
    );
  });
});
