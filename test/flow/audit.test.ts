import { describe, expect, it } from 'vitest';
import { MstoreError } from '../../src/base/errors.ts';
import { ActLog } from '../../src/flow/audit/act-log.ts';
import { checkAudit } from '../../src/flow/audit/check-audit.ts';
import { exportAudit, type ReadLine, readAudit } from '../../src/flow/audit/read-audit.ts';
import { LastSeen } from '../../src/flow/audit/seen-line.ts';
import { deploy, rollback } from '../../src/flow/environments.ts';
import { cleanUp, takeBack } from '../../src/flow/gc/gc.ts';
import { remotePlace } from '../../src/flow/gc/place.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { register } from '../../src/flow/register.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { verify } from '../../src/flow/verify/verify.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import { auditKey, formatLine, parseLine } from '../../src/registry/audit.ts';
import { seal } from '../../src/registry/sealed.ts';
import { bytesSource, type RemotePruner } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import {
  emptyRemote,
  makePlainProject,
  type Project,
  withRemotes,
} from '../support/flow-project.ts';
import { listKeys, readObject } from '../support/remote-bytes.ts';

const origin = 'memory://origin';

async function hosts(count: number, env: Readonly<Record<string, string>> = {}) {
  const remote = await emptyRemote(origin);
  const projects: Project[] = [];
  for (let i = 0; i < count; i++) {
    const change = withRemotes({ origin: remote });
    const project = await makePlainProject(change);
    const open = async () => {
      const workspace = await project.open();
      return project.open({ env: { ...workspace.surroundings.env, ...env } });
    };
    projects.push({ ...project, open });
  }
  return { remote, projects: projects as [Project, ...Project[]] };
}

async function chosenOf(project: Project, place = origin) {
  return chooseRemote(await project.open(), place, project.root);
}

/** Registers and pushes a version, as the commands do. */
async function publish(project: Project, version: string) {
  project.write('bert/weights', version);
  await project.add('bert');
  await register(await project.open(), { model: 'bert', version });
  return push(project);
}

async function push(project: Project) {
  const workspace = await project.open();
  const { tracked } = await findTargets(workspace, [], project.root);
  return pushWithVersions(workspace, tracked, await chosenOf(project), { registry: 'all' });
}

async function deployTo(project: Project, version: string, environment: string) {
  const remote = await chosenOf(project);
  return deploy(await project.open(), { model: 'bert', version, environment }, { remote });
}

async function lines(project: Project): Promise<ReadLine[]> {
  const { remote } = await chosenOf(project);
  const found: ReadLine[] = [];
  const onProblem = (error: MstoreError) => {
    throw error;
  };
  for await (const line of exportAudit(await project.open(), remote, { onProblem })) {
    found.push(line);
  }
  return found;
}

async function check(project: Project) {
  const problems: string[] = [];
  const { remote } = await chosenOf(project);
  const onProblem = ({ code, message }: MstoreError) => {
    expect(code).toBe('corrupt-audit');
    problems.push(message);
  };
  const found = await checkAudit(await project.open(), remote, { onProblem });
  return { ...found, problems };
}

/** Puts other bytes in the place of an object, as somebody with the keys of the bucket can. */
async function replace(remote: RemotePruner, key: string, bytes: Buffer): Promise<void> {
  await remote.delete(key);
  await remote.create(key, bytesSource(bytes));
}

describe('acts on a remote', () => {
  it('are logged, each with who did it and what it made', async () => {
    const { remote, projects } = await hosts(1);
    const [one] = projects;
    await publish(one, 'v1');
    await publish(one, 'v2');
    await deployTo(one, 'v1', 'production');
    await deployTo(one, 'v2', 'production');
    const chosen = await chosenOf(one);
    const target = { model: 'bert', environment: 'production' };
    await rollback(await one.open(), target, { remote: chosen, reason: 'slow' });
    const retired = { model: 'bert', version: 'v2', state: 'archived' } as const;
    await setVersionState(await one.open(), retired, { remote: chosen, force: true, reason: 'x' });
    const told = await lines(one);
    expect(
      told.map(({ act, version, environment, state }) => [act, version, environment, state]),
    ).toEqual([
      ['begin', undefined, undefined, undefined],
      ['push', undefined, undefined, undefined],
      ['push', undefined, undefined, undefined],
      ['deploy', 'v1', 'production', undefined],
      ['deploy', 'v2', 'production', undefined],
      ['rollback', 'v1', 'production', undefined],
      ['state', 'v2', undefined, 'archived'],
    ]);
    expect(told[5]).toMatchObject({ reason: 'slow', number: 6, model: 'bert' });
    expect(told.flatMap(({ objects = [] }) => objects.map(({ key }) => key)).sort()).toEqual(
      await listKeys(remote, 'refs/'),
    );
    for (const { by, tool, at } of told) {
      expect(by).not.toBe('');
      expect(tool).toMatch(/^mstore \d/);
      expect(Date.parse(at)).toBeGreaterThan(0);
    }
    expect(await check(one)).toMatchObject({ lines: 7, objects: 6, unlogged: [], problems: [] });
  });

  it('are not logged where nothing was done', async () => {
    const { projects } = await hosts(1);
    const [one] = projects;
    await publish(one, 'v1');
    await deployTo(one, 'v1', 'production');
    const before = await lines(one);
    await deployTo(one, 'v1', 'production');
    await push(one);
    await cleanUpOf(one);
    expect(await lines(one)).toEqual(before);
  });

  it('cost three requests where nobody else acts', async () => {
    const { remote, projects } = await hosts(1);
    const [one] = projects;
    await publish(one, 'v1');
    const counted = counting(remote);
    const workspace = await one.open();
    const acts = new ActLog(workspace, counted);
    await acts.log({ act: 'sign', model: 'bert', version: 'v1', objects: [] });
    const { get, stat, create, list } = counted.counts();
    expect([get.calls, stat.calls, create.calls, list.calls]).toEqual([1, 1, 1, 0]);
    expect((await lines(one)).at(-1)).toMatchObject({ act: 'sign', version: 'v1' });
  });

  it('that make many objects have several lines', async () => {
    const { remote, projects } = await hosts(1);
    const [one] = projects;
    const objects = Array.from({ length: 600 }, (_, i) => ({
      key: `refs/models/m${i}/versions/v1.json`,
      sha256: seal({ i }).sha256,
    }));
    await new ActLog(await one.open(), remote).log({ act: 'push', objects });
    const told = await lines(one);
    expect(told.map((line) => line.objects?.length)).toEqual([undefined, 256, 256, 88]);
    expect(told.flatMap((line) => line.objects ?? [])).toEqual(objects);
  });

  it('of a clean-up are logged with what it took', async () => {
    const { projects } = await hosts(1);
    const [one] = projects;
    await publish(one, 'v1');
    one.write('bert/weights', 'another');
    await one.add('bert');
    await one.push();
    one.write('bert/weights', 'a third one');
    await one.add('bert');
    const repository = (await one.open()).config.string('core.repository') ?? '';
    const { marked } = await cleanUpOf(one, { graceMs: 60_000, forget: [repository] });
    expect(marked.packs).toBeGreaterThan(0);
    await takeBack(await one.open(), await placeOf(one), undefined);
    const told = (await lines(one)).slice(-2);
    expect(told.map(({ act }) => act)).toEqual(['gc', 'gc']);
    expect(told[0]?.counts).toMatchObject({ markedPacks: marked.packs, sweptPacks: 0 });
    expect(told[1]?.counts).toEqual({ takenBack: 1 });
  });

  it('of several hosts at once stand in one chain', async () => {
    const { projects } = await hosts(4);
    const [one] = projects;
    await publish(one, 'v1');
    await Promise.all(projects.map((project, i) => deployTo(project, 'v1', `env-${i}`)));
    const told = await lines(one);
    expect(told.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(new Set(told.slice(2).map(({ environment }) => environment)).size).toBe(4);
    expect((await check(one)).problems).toEqual([]);
  });
});

async function placeOf(project: Project) {
  const workspace = await project.open();
  const opened = await workspace.surroundings.openRemote(origin, { base: project.root });
  return remotePlace(workspace, { name: origin, remote: opened, isService: false });
}

async function cleanUpOf(project: Project, options: Parameters<typeof cleanUp>[2] = {}) {
  return cleanUp(await project.open(), await placeOf(project), options);
}

/** A remote whose log cannot be written, as for somebody without the right. */
function withoutLog(remote: RemotePruner): RemotePruner {
  return {
    ...remote,
    create: async (key, ...rest) => {
      if (!key.startsWith('audit/')) return remote.create(key, ...rest);
      throw new MstoreError('remote-refused', `Cannot write ${key}: access is denied`);
    },
  };
}

describe('a log that cannot be written', () => {
  async function scene(env: Readonly<Record<string, string>> = {}) {
    const { remote, projects } = await hosts(1, env);
    const [one] = projects;
    await publish(one, 'v1');
    const chosen = await chosenOf(one);
    const barred = { ...chosen, remote: { ...chosen.remote, ...withoutLog(remote) } };
    const move = { model: 'bert', version: 'v1', environment: 'production' };
    const act = async () => deploy(await one.open(), move, { remote: barred });
    return { remote, one, act };
  }

  it('does not keep an act from being done, and is told', async () => {
    const { one, act } = await scene();
    const { number, warnings } = await act();
    expect(number).toBe(1);
    expect(warnings).toEqual([expect.stringMatching(/done, but could not be logged: .*denied/)]);
    const { unlogged, problems } = await check(one);
    expect(problems).toEqual([]);
    expect(unlogged).toEqual([
      { key: 'refs/models/bert/environments/production/00000001.json', beforeLog: false },
    ]);
  });

  it('refuses the act before it is done where lines are demanded', async () => {
    const { remote, act } = await scene({ MSTORE_AUDIT_REQUIRED: 'true' });
    await expect(act()).rejects.toMatchObject({ code: 'not-logged', exitCode: 8 });
    expect(await listKeys(remote, 'refs/models/bert/environments/')).toEqual([]);
  });
});

describe('a check', () => {
  async function scene() {
    const { remote, projects } = await hosts(2);
    const [one, two] = projects as [Project, Project];
    await publish(one, 'v1');
    await publish(one, 'v2');
    await deployTo(one, 'v1', 'production');
    await lines(two);
    return { remote, one, two };
  }

  it('notices a line that was changed', async () => {
    const { remote, two } = await scene();
    const bytes = await readObject(remote, auditKey(2));
    await replace(remote, auditKey(2), Buffer.from(bytes.toString().replace('push', 'sign')));
    expect((await check(two)).problems).toEqual([expect.stringMatching(/00000002.*damaged/)]);
  });

  it('notices a line that was replaced by a whole one', async () => {
    const { remote, two } = await scene();
    const { value } = parseLine(await readObject(remote, auditKey(2)), 'it', 2);
    await replace(remote, auditKey(2), formatLine(seal({ ...value, by: 'Mallory' })));
    expect((await check(two)).problems).toEqual([
      expect.stringMatching(/00000003\.json does not follow/),
    ]);
  });

  it('notices a line that is gone', async () => {
    const { remote, two } = await scene();
    await remote.delete(auditKey(2));
    const { problems, unlogged } = await check(two);
    expect(problems).toContainEqual(expect.stringMatching(/00000002\.json is gone/));
    expect(unlogged).toMatchObject([{ key: 'refs/models/bert/versions/v1.json' }]);
  });

  it('notices that the end was cut off, where it was seen', async () => {
    const { remote, two, one } = await scene();
    await remote.delete(auditKey(4));
    expect((await check(two)).problems).toEqual([
      expect.stringMatching(/ends with line 3, and line 4 was seen here/),
    ]);
    // Acts go on being logged, with a warning, and what was seen is not forgotten for it.
    const { warnings } = await deployTo(one, 'v2', 'staging');
    expect(warnings).toEqual([expect.stringMatching(/line 4 was seen here/)]);
    expect((await check(one)).problems).toEqual([
      expect.stringMatching(/has another line 4 than the one that was seen here/),
    ]);
    const seen = await LastSeen.of(await one.open(), remote);
    seen.forget();
    expect((await check(one)).problems).toEqual([]);
  });

  it('notices what was replaced together with all behind it, where it was seen', async () => {
    const { remote, two } = await scene();
    let previous = parseLine(await readObject(remote, auditKey(1)), 'it', 1).sha256;
    for (const number of [2, 3, 4]) {
      const { value } = parseLine(await readObject(remote, auditKey(number)), 'it', number);
      const forged = seal({ ...value, by: 'Mallory', previous });
      await replace(remote, auditKey(number), formatLine(forged));
      previous = forged.sha256;
    }
    expect((await check(two)).problems).toEqual([
      expect.stringMatching(/another line 4 than the one that was seen/),
    ]);
  });

  it('notices an object that is gone, and one that was replaced', async () => {
    const { remote, two } = await scene();
    const [v1, v2] = await listKeys(remote, 'refs/models/bert/versions/');
    if (v1 === undefined || v2 === undefined) throw new Error('two versions');
    const other = (await readObject(remote, v2)).toString().replace('"v2"', '"v1"');
    await replace(remote, v1, Buffer.from(other));
    await remote.delete(v2);
    expect((await check(two)).problems.sort()).toEqual([
      expect.stringMatching(/v1\.json is not what was logged/),
      expect.stringMatching(/v2\.json is gone, and was logged/),
    ]);
  });

  it('tells what was done around the log, and what is older than it', async () => {
    const { remote, two } = await scene();
    const key = 'refs/models/bert/environments/production/00000002.json';
    await remote.create(key, bytesSource(Buffer.from('{}')));
    expect(await check(two)).toMatchObject({
      problems: [],
      unlogged: [{ key, beforeLog: false }],
    });
    for (const line of await listKeys(remote, 'audit/')) await remote.delete(line);
    const { unlogged } = await check((await hostOf(remote)) as Project);
    expect(unlogged.length).toBe(4);
  });

  it('tells what does not belong there', async () => {
    const { remote, two } = await scene();
    await remote.create('audit/0000/notes.txt', bytesSource(Buffer.from('x')));
    expect((await check(two)).problems).toEqual([
      expect.stringMatching(/notes\.txt is no line of the log/),
    ]);
  });
});

async function hostOf(remote: RemotePruner): Promise<Project> {
  return makePlainProject(withRemotes({ origin: remote }));
}

describe('verify', () => {
  it('checks the lines of a remote', async () => {
    const { remote, projects } = await hosts(1);
    const [one] = projects;
    await publish(one, 'v1');
    const owned = { name: 'origin', remote, isService: false };
    expect(await verify(await one.open(), owned)).toMatchObject({ findings: [], code: null });
    const bytes = await readObject(remote, auditKey(1));
    await replace(remote, auditKey(1), bytes.subarray(0, 100));
    const { findings, code } = await verify(await one.open(), owned);
    expect(code).toBe('corrupt-remote');
    expect(findings).toMatchObject([
      { kind: 'audit-damaged', code: 'corrupt-audit', key: auditKey(1), severity: 'damage' },
    ]);
  });
});

describe('a repair', () => {
  it('is logged, and what it put back is what was logged', async () => {
    const { remote, projects } = await hosts(1);
    const [one] = projects;
    await publish(one, 'v1');
    const key = 'refs/models/bert/versions/v1.json';
    const text = (await readObject(remote, key)).toString();
    await replace(remote, key, Buffer.from(text.replace('"created": "2', '"created": "1')));
    expect((await check(one)).problems).toHaveLength(1);
    const owned = { name: 'origin', remote, isService: false };
    expect(await verify(await one.open(), owned, { repairFrom: [] })).toMatchObject({ code: null });
    expect((await lines(one)).at(-1)).toMatchObject({ act: 'repair', counts: { repaired: 1 } });
    expect((await check(one)).problems).toEqual([]);
  });
});

describe('reading', () => {
  it('gives the newest lines of what is asked for', async () => {
    const { remote, projects } = await hosts(1);
    const [one] = projects;
    await publish(one, 'v1');
    for (const name of ['a', 'b', 'c']) await deployTo(one, 'v1', name);
    const onProblem = () => {};
    const workspace = await one.open();
    const all = await readAudit(workspace, remote, { limit: 10, onProblem });
    expect(all.lines.map(({ number }) => number)).toEqual([5, 4, 3, 2, 1]);
    expect(all).toMatchObject({ total: 5, more: false });
    const two = await readAudit(workspace, remote, { limit: 2, onProblem });
    expect(two.lines.map(({ environment }) => environment)).toEqual(['c', 'b']);
    expect(two.more).toBe(true);
    const model = await readAudit(workspace, remote, { limit: 9, model: 'bert', onProblem });
    expect(model.lines.map(({ number }) => number)).toEqual([5, 4, 3, 2]);
    const other = await readAudit(workspace, remote, { limit: 9, model: 'gpt', onProblem });
    expect(other.lines).toEqual([]);
    const since = Date.parse(all.lines[1]?.at ?? '');
    const late = await readAudit(workspace, remote, { limit: 9, since, onProblem });
    expect(late.lines.map(({ number }) => number)).toContain(4);
    const never = await readAudit(workspace, remote, { limit: 9, since: since + 1e9, onProblem });
    expect(never.lines).toEqual([]);
  });
});
