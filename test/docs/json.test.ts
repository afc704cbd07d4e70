import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type CliWorkspace, cliEnv, flipBit, makeWorkspace, soleFile } from '../support/cli.ts';
import { git } from '../support/git.ts';
import { HubServer } from '../support/hub-server.ts';
import { codeSpans, tableRows } from '../support/page-checks.ts';
import { floats, onnxWithExternal, type TypedTensor, typedFile } from '../support/tensors.ts';

const page = fs.readFileSync(
  fileURLToPath(new URL('../../docs/guide/scripts.md', import.meta.url)),
  'utf8',
);

/** The names that the page gives to the fields of a command's document. */
const documented = new Map(
  tableRows(page, ['command', 'fields of the document']).flatMap(([commands = '', fields = '']) =>
    codeSpans(commands).map((command) => [command, new Set(codeSpans(fields))] as const),
  ),
);
/** Names told once for all: of changes, and of errors. */
const shared = new Set(codeSpans(page));

/** All names of fields in a document, those of parts too. */
function fieldsOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(fieldsOf);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [name, ...fieldsOf(inner)]);
}

async function makeModel(): Promise<CliWorkspace> {
  const workspace = await makeWorkspace();
  workspace.write('model/weights', 'one');
  workspace.write('model/run', 'echo');
  fs.chmodSync(workspace.at('model/run'), 0o755);
  fs.symlinkSync('run', workspace.at('model/link'));
  fs.mkdirSync(workspace.at('model/empty'));
  await workspace.add('model');
  git(workspace.root, 'add', '.');
  git(workspace.root, 'commit', '-q', '-m', 'First');
  git(workspace.root, 'tag', 'v1');
  return workspace;
}

async function expectDocumented(
  workspace: CliWorkspace,
  command: string,
  ...args: string[]
): Promise<void> {
  const { stdout, code } = await workspace.run(...args, '--json');
  expect(code, stdout).toBe(0);
  const document = JSON.parse(stdout) as object;
  const own = documented.get(command) ?? new Set();
  for (const name of Object.keys(document)) expect(own, `${command}: ${name}`).toContain(name);
  for (const name of fieldsOf(document)) expect(shared, `${command}: ${name}`).toContain(name);
}

describe('the documents of --json', () => {
  it('have the fields that the guide names, from a workspace to a remote', async () => {
    const workspace = await makeModel();
    await expectDocumented(workspace, 'init', 'init');
    await expectDocumented(workspace, 'remote add', 'remote', 'add', 'other', '../other');
    await expectDocumented(workspace, 'remote list', 'remote', 'list');
    await expectDocumented(workspace, 'remote check', 'remote', 'check');
    await expectDocumented(workspace, 'remote uploads', 'remote', 'uploads');
    await expectDocumented(workspace, 'remote remove', 'remote', 'remove', 'other');
    await expectDocumented(workspace, 'push', 'push');
    await expectDocumented(workspace, 'fetch', 'fetch');
    await expectDocumented(workspace, 'config set', 'config', 'set', 'transfer.jobs', '2');
    await expectDocumented(workspace, 'config get', 'config', 'get', 'transfer.jobs');
    await expectDocumented(workspace, 'config unset', 'config', 'unset', 'transfer.jobs');
    await expectDocumented(workspace, 'config list', 'config', 'list');
    await expectDocumented(workspace, 'config keys', 'config', 'keys');
    await expectDocumented(workspace, 'lfs install', 'lfs', 'install');
    await expectDocumented(workspace, 'lfs status', 'lfs', 'status');
    await expectDocumented(workspace, 'lfs uninstall', 'lfs', 'uninstall');
    await expectDocumented(workspace, 'textconv', 'textconv', 'model.mstore');
  });

  it('have the fields that the guide names, from a change to a version', async () => {
    const workspace = await makeModel();
    workspace.write('model/weights', 'two');
    workspace.write('model/more', 'x');
    workspace.write('broken.mstore', '{');
    const broken = await workspace.run('status', '--json');
    expect(broken.code).toBe(5);
    for (const name of fieldsOf(JSON.parse(broken.stdout))) expect(shared).toContain(name);
    workspace.remove('broken.mstore');
    await expectDocumented(workspace, 'status', 'status');
    await expectDocumented(workspace, 'diff', 'diff');
    await expectDocumented(workspace, 'add', 'add', 'model');
    git(workspace.root, 'commit', '-q', '-a', '-m', 'Second');
    await expectDocumented(workspace, 'diff', 'diff', 'v1', 'HEAD');
    await expectDocumented(workspace, 'ls', 'ls', 'v1');
    await expectDocumented(workspace, 'checkout', 'checkout', 'v1');
    await expectDocumented(workspace, 'checkout --to', 'checkout', 'v1', '--to', '../v1');
    await expectDocumented(workspace, 'pull', 'pull');
    await workspace.ok('push');
    workspace.remove('.modelstore/store');
    await expectDocumented(workspace, 'pull', 'pull');
    await expectDocumented(workspace, 'untrack', 'untrack', 'model');
  });

  it('have the fields that the guide names, on a host that follows', async () => {
    const workspace = await makeModel();
    await workspace.ok('register', 'ranker@v1', 'model');
    await workspace.ok('push');
    await workspace.ok('deploy', 'ranker@v1', '--env', 'production');
    const args = ['sync', 'ranker', '--env', 'production', '--to', '../srv'];
    await expectDocumented(workspace, 'sync', ...args, '--remote', workspace.remote);
  });

  it('are errors where something fails', async () => {
    const workspace = await makeModel();
    const { stdout, code } = await workspace.run('add', 'nothing', '--json');
    expect(code).toBe(3);
    for (const name of ['error', 'code', 'message', 'hint', 'details'])
      expect(page).toContain(`"${name}"`);
    expect(Object.keys(JSON.parse(stdout) as object)).toEqual(['error']);
  });

  it('have the fields that the guide names, of versions and environments', async () => {
    const workspace = await makeModel();
    await workspace.run('remote', 'remove', 'origin');
    workspace.write('meta.json', '{"metrics": {"size": 0.5}}');
    await expectDocumented(
      workspace,
      'register',
      ...['register', 'm@v1', 'model', '--metadata', 'meta.json', '--description', 'x'],
      ...['--changelog', 'y', '--status', 'z', '--label', 'size=1'],
    );
    await workspace.run('register', 'm@v2', 'model');
    await expectDocumented(workspace, 'validate', 'validate', 'model');
    await expectDocumented(workspace, 'info', 'info', 'm@v1');
    await expectDocumented(workspace, 'deploy', 'deploy', 'm@v1', '--env', 'staging');
    await expectDocumented(workspace, 'deploy', 'deploy', 'm@v2', '--env', 'staging');
    const rules =
      '[policy.gated]\nweights = { size = 1 }\nregress = { size = 1 }\nlimits = { size = { min = 0, max = 1 } }';
    fs.appendFileSync(workspace.at('.modelstore/config.toml'), `\n${rules}\n`);
    const judged = ['gate', 'm@v2', '--env', 'gated', '--results', 'size.json'];
    workspace.write('size.json', '{"size": 0.7}');
    await expectDocumented(workspace, 'gate', ...judged, '--output-dir', 'gate');
    await expectDocumented(workspace, 'deploy', 'deploy', 'm@v1', '--env', 'gated');
    await expectDocumented(workspace, 'gate', ...judged);
    const places = ['--from', 'staging', '--to', 'live'];
    await expectDocumented(workspace, 'promote', 'promote', 'm', ...places);
    await expectDocumented(workspace, 'rollback', 'rollback', 'm', '--env', 'staging');
    await expectDocumented(workspace, 'archive', 'archive', 'm@v1', '--force', '--reason', 'x');
    await expectDocumented(workspace, 'restore', 'restore', 'm@v1');
    await expectDocumented(workspace, 'package', 'package', 'm@v1', '--output', '../m.tar.gz');
    await expectDocumented(workspace, 'unpackage', 'unpackage', '../m.tar.gz');
    await expectDocumented(workspace, 'unpackage --to', 'unpackage', '../m.tar.gz', '--to', '../m');
    await expectDocumented(workspace, 'checkout --to', 'export', 'm@v1', '--to', '../exported');
    cliEnv['MSTORE_CACHE'] = workspace.at('../cache');
    await expectDocumented(workspace, 'resolve', 'resolve', 'm@staging', '--lock', '../m.lock');
    await expectDocumented(workspace, 'resolve --prune', 'resolve', '--prune', '0');
    await expectDocumented(workspace, 'keygen', 'keygen', '../key');
    await expectDocumented(workspace, 'keygen', 'keygen', '../identity', '--type', 'age');
    const output = ['--output', '../m.sig'];
    await expectDocumented(workspace, 'sign', 'sign', 'm@v1', '--key', '../key', ...output);
    const signed = ['verify', 'm@v1', '--signature', '--key', '../key.pub'];
    await expectDocumented(workspace, 'verify --signature', ...signed);
    await expectDocumented(workspace, 'models', 'models');
    await expectDocumented(workspace, 'versions', 'versions', 'm');
    await expectDocumented(workspace, 'show', 'show', 'm@v1');
    await expectDocumented(workspace, 'history', 'history', 'm');
    await expectDocumented(workspace, 'history', 'history', 'm', '--at', '2999-12-31');
  });

  it('have the fields that the guide names, of whole registries and Git tags', async () => {
    const workspace = await makeModel();
    await workspace.run('remote', 'remove', 'origin');
    const tagged = ['--git-tag'];
    await expectDocumented(workspace, 'register', 'register', 'm@v1.0.0', 'model', ...tagged);
    const deploying = ['deploy', 'm@v1.0.0', '--env', 'staging', ...tagged];
    await expectDocumented(workspace, 'deploy', ...deploying);
    await expectDocumented(workspace, 'archive', 'archive', 'm@v1.0.0', ...forced, '--git-tag');
    const { stdout } = await workspace.run('registry', 'export');
    const parts = documented.get('registry export');
    expect(Object.keys(JSON.parse(stdout) as object)).toEqual([...(parts ?? [])]);
    workspace.write('../registry.json', stdout);
    workspace.remove('.modelstore/store/refs');
    await expectDocumented(workspace, 'registry import', 'registry', 'import', '../registry.json');
  });

  it('have the fields that the guide names, of a publication', async () => {
    const hub = await HubServer.start();
    hub.tokens.set('hf_token', { granted: true, writes: true });
    Object.assign(cliEnv, { HF_ENDPOINT: hub.endpoint, HF_TOKEN: 'hf_token' });
    const workspace = await makeModel();
    workspace.remove('model/link');
    await workspace.add('model');
    await workspace.run('register', 'm@v1', 'model');
    const one = ['local:model', '--as', 'one@v1', '--dry-run'];
    await expectDocumented(workspace, 'import --dry-run', 'import', ...one);
    const to = ['m@v1', '--to', 'hf:org/m'];
    await expectDocumented(workspace, 'publish', 'publish', ...to, '--dry-run');
    await expectDocumented(workspace, 'publish', 'publish', ...to);
  });

  it('have the fields that the guide names, of tensors', async () => {
    const workspace = await makeModel();
    const file = (...tensors: TypedTensor[]) => typedFile([floats('same', [1]), ...tensors]);
    workspace.write('model/w.safetensors', file(floats('a', [1]), floats('b', [1])));
    workspace.write('model/x.onnx', onnxWithExternal('w', { location: 'absent', length: '4' }));
    await workspace.add('model');
    git(workspace.root, 'commit', '-q', '-a', '-m', 'Second');
    workspace.write('model/w.safetensors', file(floats('a', [2]), floats('c', [1])));
    workspace.write('model/x.onnx', onnxWithExternal('w', { location: 'absent', offset: '4' }));
    await expectDocumented(workspace, 'ls --tensors', 'ls', '--tensors');
    await expectDocumented(workspace, 'diff --tensors', 'diff', '--tensors');
    workspace.write('model/w.safetensors', 'none');
    const broken = await workspace.run('diff', '--tensors', '--json');
    expect(broken.code).toBe(5);
    for (const name of fieldsOf(JSON.parse(broken.stdout))) expect(shared).toContain(name);
  });

  const forced = ['--force', '--reason', 'x'];

  it('have the fields that the guide names, of a verification', async () => {
    const workspace = await makeModel();
    await workspace.push();
    await expectDocumented(workspace, 'verify', 'verify');
    await expectDocumented(workspace, 'verify', 'verify', '--remote', '--subset', '100%');
    await expectDocumented(workspace, 'verify --rebuild-index', 'verify', '--rebuild-index');
    flipBit(soleFile(workspace.at('.modelstore/store/packs')), 0);
    const damaged = await workspace.run('verify', '--json');
    expect(damaged.code).toBe(5);
    for (const name of fieldsOf(JSON.parse(damaged.stdout))) expect(shared).toContain(name);
    await expectDocumented(workspace, 'verify', 'verify', '--repair');
  });

  it('have the fields that the guide names, of the audit log', async () => {
    const workspace = await makeModel();
    await workspace.ok('register', 'm@v1', 'model');
    await workspace.ok('push');
    await workspace.ok('deploy', 'm@v1', '--env', 'live', '--reason', 'x');
    await workspace.ok('deprecate', 'm@v1', '--force', '--reason', 'x');
    await expectDocumented(workspace, 'audit', 'audit');
    await expectDocumented(workspace, 'audit --check', 'audit', '--check');
    await expectDocumented(workspace, 'audit --forget', 'audit', '--forget');
  });

  it('are events with the result last', async () => {
    const workspace = await makeModel();
    workspace.write('another', 'bytes');
    const { stdout } = await workspace.run('add', 'another', '--json-events');
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; phase?: string });
    expect(events.at(-1)?.event).toBe('result');
    for (const { event, phase, ...rest } of events.slice(0, -1)) {
      expect(['start', 'progress', 'finish']).toContain(event);
      expect(shared).toContain(phase);
      for (const name of Object.keys(rest)) expect(shared).toContain(name);
    }
  });
});
