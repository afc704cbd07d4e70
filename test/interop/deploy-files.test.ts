import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { type Finding, installLinters, type Linters } from '../support/linters.ts';
import { tempFolder } from '../support/temp.ts';

const deploy = path.resolve(import.meta.dirname, '../../docs/deploy');

let linters: Linters;
beforeAll(async () => {
  linters = await installLinters();
}, 300_000);

/** A file, its program, and a mistake that the program has to see: a text, and what stands in its place. */
type Case = readonly [
  file: string,
  check: (file: string) => Promise<Finding>,
  mistake: readonly [right: string, wrong: string],
];

const dockerfile = (file: string) => linters.dockerfile(file);
const workflow = (file: string) => linters.workflow(file);
const kubernetes = (file: string) => linters.kubernetes(file);
const schema = (name: string) => (file: string) => linters.schema(name, file);

const cases: readonly Case[] = [
  ['Dockerfile', dockerfile, ['USER 65532:65532', 'USER root']],
  ['model.Dockerfile', dockerfile, ['USER 65532:65532', 'USRE 65532:65532']],
  ['repository.Dockerfile', dockerfile, ['WORKDIR /models/repository', 'WORKDIR repository']],
  ['compose.yaml', schema('compose-spec'), ['read_only: true', 'readonly: true']],
  ['gitlab-ci.yml', schema('gitlab-ci'), ['when: manual', 'when: by-hand']],
  ['github-action/action.yml', schema('github-actions'), ['using: composite', 'uses: composite']],
  [
    'github-action/install.sh',
    (file) => linters.shell(file),
    ['"$received" "$url"', '$received $url'],
  ],
  ['github-workflows/gate-and-promote.yml', workflow, ['needs: gate', 'needs: gates']],
  ['github-workflows/gate-and-promote.yml', schema('github-workflows'), ['runs-on:', 'run-on:']],
  ['github-workflows/check-models.yml', workflow, ['vars.MODELS', 'var.MODELS']],
  [
    'github-workflows/check-models.yml',
    schema('github-workflows'),
    ['pull_request:', 'pull_requests:'],
  ],
  ['kubernetes/init-container.yaml', kubernetes, ['readOnly: true', 'readonly: true']],
  ['kubernetes/sidecar.yaml', kubernetes, ['restartPolicy: Always', 'restartPolicy: [Always]']],
  ['kubernetes/node-cache.yaml', kubernetes, ['internalTrafficPolicy', 'trafficPolicy']],
  ['kubernetes/blue-green.yaml', kubernetes, ['replicas: 2', 'replicas: two']],
];

describe('the files for containers and CI', () => {
  it('are all checked', () => {
    const files = fs
      .readdirSync(deploy, { recursive: true, encoding: 'utf8' })
      .filter((name) => fs.statSync(path.join(deploy, name)).isFile())
      .filter((name) => !name.endsWith('.dockerignore'));
    expect(files.sort()).toEqual([...new Set(cases.map(([file]) => file))].sort());
  });

  it.each(cases)(
    'have nothing wrong in %s, where a mistake is seen',
    async (name, check, [right, wrong]) => {
      const file = path.join(deploy, name);
      expect(await check(file)).toMatchObject({ code: 0 });
      const text = fs.readFileSync(file, 'utf8');
      expect(text).toContain(right);
      const broken = path.join(tempFolder(), path.basename(name));
      fs.writeFileSync(broken, text.replace(right, wrong));
      expect((await check(broken)).code, `${right} was ${wrong}`).not.toBe(0);
    },
  );
});

interface Container {
  readonly name: string;
  readonly image: string;
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly resources?: { readonly requests?: object; readonly limits?: object };
  readonly readinessProbe?: object;
  readonly volumeMounts: ReadonlyArray<{ readonly name: string }>;
}

interface Manifest {
  readonly kind: string;
  readonly spec: {
    readonly selector: { readonly matchLabels?: object };
    readonly podSelector?: { readonly matchLabels: object };
    readonly template: {
      readonly metadata: { readonly labels: object };
      readonly spec: {
        readonly securityContext: object;
        readonly automountServiceAccountToken: boolean;
        readonly initContainers?: readonly Container[];
        readonly containers: readonly Container[];
        readonly volumes: ReadonlyArray<Readonly<Record<string, unknown>>>;
      };
    };
  };
}

function manifests(file: string): Manifest[] {
  const text = fs.readFileSync(path.join(deploy, 'kubernetes', file), 'utf8');
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

describe('the manifests', () => {
  const files = fs.readdirSync(path.join(deploy, 'kubernetes'));

  it.each(files)('are of the restricted profile, and know all that they name, in %s', (file) => {
    const all = manifests(file);
    const workloads = all.filter(({ kind }) => ['Deployment', 'DaemonSet'].includes(kind));
    expect(workloads.length).toBeGreaterThan(0);
    for (const { spec } of workloads) {
      const pod = spec.template.spec;
      expect(pod.automountServiceAccountToken).toBe(false);
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect(spec.template.metadata.labels).toMatchObject(spec.selector.matchLabels ?? {});
      const allowed = ['name', 'emptyDir', 'secret', 'configMap', 'persistentVolumeClaim'];
      expect(pod.volumes.flatMap(Object.keys).filter((key) => !allowed.includes(key))).toEqual([]);
      const volumes = pod.volumes.map(({ name }) => name);
      for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
        expect(container.securityContext, container.name).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(container.image).toMatch(/^registry\.example\.com\/[a-z]+:\d/);
        expect(container.resources).toMatchObject({ requests: {}, limits: {} });
        for (const { name } of container.volumeMounts) expect(volumes).toContain(name);
      }
      for (const container of pod.containers) expect(container.readinessProbe).toBeDefined();
      const policies = all.filter(({ kind }) => kind === 'NetworkPolicy');
      const covers = policies.some(({ spec: policy }) => {
        const labels = Object.entries(policy.podSelector?.matchLabels ?? {});
        const own = Object.entries(spec.template.metadata.labels);
        return labels.every(([key, value]) => own.some(([k, v]) => k === key && v === value));
      });
      expect(covers).toBe(true);
    }
  });
});
