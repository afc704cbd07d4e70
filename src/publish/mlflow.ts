import { MstoreError } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { refused, unreachable } from '../remote/service-errors.ts';
import { sourceError } from '../source/failures.ts';
import { listIn, type MlflowApi, objectIn, textIn } from '../source/mlflow-api.ts';
import { countedBody } from './counted-body.ts';
import { type MlflowFacts, runFacts } from './mlflow-facts.ts';
import { type MlflowRun, pairs, runOf, tagsOf } from './mlflow-run.ts';
import type {
  Edition,
  EditionFile,
  Publication,
  Published,
  PublishOptions,
  PublishStep,
} from './publication.ts';

/** What is published where in MLflow. */
export interface MlflowTarget {
  /** Name of the registered model. */
  readonly model: string;
  /** Name of the experiment. */
  readonly experiment: string;
  readonly aliases: readonly string[];
  /** A stage, which older servers have instead of aliases. */
  readonly stage: string | undefined;
}

/** The folder of a run in which the files are. */
const folderName = 'model';
/** The tag by which a run and a version are known: the digest of the record. */
const recordTag = 'mstore.record';
/** What one request may log. */
const batchMax = 100;

/**
 * Finds out what it takes that a version is one of a registered model of MLflow: a run with its metrics, parameters, tags and
 * files, a version made from that, its aliases and its stage. Runs and versions are known by a tag, so that none is made twice.
 * @throws MstoreError `remote-refused`, `remote-unreachable`, `bad-name` for paths that MLflow cannot keep
 */
export async function planMlflow(
  edition: Edition,
  target: MlflowTarget,
  api: MlflowApi,
  now: () => number,
): Promise<Publication> {
  const { record, files } = edition;
  const wrong = files.find(({ path }) => /[#\\%]|[^\P{Cc}]/u.test(path));
  if (wrong !== undefined) {
    throw new MstoreError('bad-name', `MLflow cannot keep the file ${printable(wrong.path)}`, {
      hint: 'Publish a version in which its name has no "#", "%" or "\\"',
      details: { path: wrong.path },
    });
  }
  const facts = runFacts(record);
  return new MlflowPublication(edition, target, api, facts, now).look();
}

class MlflowPublication implements Publication {
  readonly #edition: Edition;
  readonly #target: MlflowTarget;
  readonly #api: MlflowApi;
  readonly #facts: MlflowFacts;
  readonly #now: () => number;
  #experiment: string | undefined;
  #run: MlflowRun | undefined;
  #uploads: readonly EditionFile[];
  #version: JsonObject | undefined;
  #isRegistered = false;
  steps: readonly PublishStep[] = [];
  readonly notes: readonly string[];

  constructor(
    edition: Edition,
    target: MlflowTarget,
    api: MlflowApi,
    facts: MlflowFacts,
    now: () => number,
  ) {
    this.#edition = edition;
    this.#target = target;
    this.#api = api;
    this.#facts = facts;
    this.#now = now;
    this.#uploads = edition.files;
    this.notes = facts.notes;
  }

  /** Compares with what is there. */
  async look(): Promise<this> {
    const { model, experiment, aliases, stage } = this.#target;
    this.#isRegistered =
      (await this.#api.find('registered-models/get', { name: model })) !== undefined;
    this.#version = this.#isRegistered ? await this.#findVersion() : undefined;
    const runId = textIn(this.#version, 'run_id');
    if (runId !== '') this.#run = runOf(await this.#api.find('runs/get', { run_id: runId }));
    this.#experiment = await this.#findExperiment();
    if (this.#version === undefined && this.#experiment !== undefined) {
      this.#run = await this.#findRun(this.#experiment);
    }
    if (this.#run !== undefined) this.#uploads = await this.#lacking(this.#run);
    const steps: PublishStep[] = [];
    if (this.#version === undefined) {
      if (this.#experiment === undefined)
        steps.push({ act: 'create', what: `experiment ${experiment}` });
      if (this.#run === undefined) steps.push({ act: 'create', what: `run ${this.#facts.name}` });
    }
    for (const { path, size } of this.#uploads)
      steps.push({ act: 'upload', what: path, bytes: size });
    if (this.#version === undefined) {
      if (!this.#isRegistered) steps.push({ act: 'create', what: `registered model ${model}` });
      steps.push({ act: 'register', what: `version of ${model}` });
    }
    const has = await this.#aliasesNow();
    const number = textIn(this.#version, 'version');
    for (const alias of aliases) {
      if (has.get(alias) !== number || number === '') steps.push({ act: 'alias', what: alias });
    }
    if (stage !== undefined && textIn(this.#version, 'current_stage') !== stage) {
      steps.push({ act: 'stage', what: stage });
    }
    this.steps = steps;
    return this;
  }

  async run({ progress, signal }: PublishOptions): Promise<Published> {
    const bytesTotal = this.#uploads.reduce((sum, { size }) => sum + size, 0);
    progress.start('publish', { bytesTotal, filesTotal: this.#uploads.length });
    let bytesSent = 0;
    const sent = (bytes: number): void => {
      bytesSent += bytes;
      progress.advance({ bytes });
    };
    if (this.#version === undefined || this.#uploads.length > 0) {
      const run = await this.#openRun();
      await this.#upload(run, sent, signal);
      await this.#log(run);
      this.#version ??= await this.#register(run);
    }
    const number = textIn(this.#version, 'version');
    await this.#ready(number);
    for (const { act, what } of this.steps) {
      const { model } = this.#target;
      if (act === 'alias') {
        await this.#api.post('registered-models/alias', {
          name: model,
          alias: what,
          version: number,
        });
      } else if (act === 'stage') {
        await this.#api.post('model-versions/transition-stage', {
          name: model,
          version: number,
          stage: what,
          archive_existing_versions: what === 'Staging' || what === 'Production',
        });
      }
    }
    progress.finish();
    const { model } = this.#target;
    return {
      reference: `mlflow:models:/${model}/${number}`,
      url: this.#api.url(`/#/models/${model}/versions/${number}`).href,
      bytesSent,
    };
  }

  get #record(): string {
    return this.#edition.record.sha256;
  }

  /** The version that was made from this record. */
  async #findVersion(): Promise<JsonObject | undefined> {
    const filter = `name='${this.#target.model}'`;
    const ask = { filter, max_results: '1000' };
    const all = await this.#api.search('model-versions/search', 'model_versions', ask, 'GET');
    return all.find((one) => tagsOf(one).get(recordTag) === this.#record);
  }

  async #findExperiment(): Promise<string | undefined> {
    const { experiment } = this.#target;
    const answer = await this.#api.find('experiments/get-by-name', { experiment_name: experiment });
    const found = objectIn(answer, 'experiment');
    if (textIn(found, 'lifecycle_stage') === 'deleted') {
      throw new MstoreError(
        'name-taken',
        `The experiment ${printable(experiment)} was deleted in MLflow, and keeps its name`,
        { hint: 'Restore it there, or publish with another name: --experiment NAME' },
      );
    }
    const id = textIn(found, 'experiment_id');
    return id === '' ? undefined : id;
  }

  async #findRun(experiment: string): Promise<MlflowRun | undefined> {
    const filter = `tags.\`${recordTag}\` = '${this.#record}'`;
    const ask = { experiment_ids: [experiment], filter, max_results: 10 };
    const runs = await this.#api.search('runs/search', 'runs', ask, 'POST');
    return runs.length === 0 ? undefined : runOf({ run: runs[0] ?? {} });
  }

  async #openRun(): Promise<MlflowRun> {
    if (this.#run !== undefined) return this.#run;
    const { experiment } = this.#target;
    const api = this.#api;
    this.#experiment ??= await api.create(
      async () => {
        try {
          return textIn(
            await api.send('experiments/create', { name: experiment }),
            'experiment_id',
          );
        } catch (error) {
          // Somebody else made it meanwhile.
          const found =
            error instanceof MstoreError && error.code === 'name-taken'
              ? await this.#findExperiment()
              : undefined;
          if (found === undefined) throw error;
          return found;
        }
      },
      () => this.#findExperiment(),
    );
    const id = this.#experiment;
    const { name, tags } = this.#facts;
    const run = await api.create(
      async () =>
        runOf(
          await api.send('runs/create', {
            experiment_id: id,
            run_name: name,
            start_time: this.#now(),
            tags: pairs(tags),
          }),
        ),
      () => this.#findRun(id),
    );
    if (run === undefined) throw this.#wrong('it does not tell the run that it made');
    this.#run = run;
    return run;
  }

  #folder(run: MlflowRun) {
    const folder = this.#api.artifacts(`${run.artifacts.replace(/\/$/, '')}/${folderName}`);
    if (folder !== undefined) return folder;
    const kind = /^[a-z0-9+.-]+(?=:)/i.exec(run.artifacts)?.[0] ?? 'a path';
    throw sourceError(
      refused(
        'unsupported',
        `its files go straight to ${printable(kind)}, and not by the server`,
        'Publish to an experiment whose artifacts the server hands out: mlflow server --serve-artifacts',
      ),
      this.#api.where,
      { act: 'publish' },
    );
  }

  /** Files that a run does not have with the right size. */
  async #lacking(run: MlflowRun): Promise<EditionFile[]> {
    const there = new Map<string, number>();
    for (const { path, size } of await this.#api.list(this.#folder(run))) there.set(path, size);
    return this.#edition.files.filter(({ path, size }) => there.get(path) !== size);
  }

  async #upload(
    run: MlflowRun,
    sent: (bytes: number) => void,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const folder = this.#folder(run);
    for (const file of this.#uploads) {
      signal?.throwIfAborted();
      await this.#api.put(
        folder,
        file.path,
        countedBody(file.size, () => file.read(), sent),
      );
    }
    const [lacking] = this.#uploads.length === 0 ? [] : await this.#lacking(run);
    if (lacking === undefined) return;
    throw new MstoreError(
      'corrupt-remote',
      `${printable(this.#api.where)} does not hold what was sent: ${printable(lacking.path)} has another size there`,
      { hint: 'Run the same command again', details: { source: this.#api.where } },
    );
  }

  /** Logs what the run does not have yet, and ends it. */
  async #log(run: MlflowRun): Promise<void> {
    const timestamp = this.#now();
    const { metrics, params, tags } = this.#facts;
    const newMetrics = metrics.filter(([key]) => !run.metrics.has(key));
    const newParams = params.filter(([key]) => !run.params.has(key));
    const newTags = tags.filter(([key, value]) => run.tags.get(key) !== value);
    const most = Math.max(newMetrics.length, newParams.length, newTags.length);
    for (let at = 0; at < most; at += batchMax) {
      const part = <T>(all: readonly T[]): T[] => all.slice(at, at + batchMax);
      await this.#api.post('runs/log-batch', {
        run_id: run.id,
        metrics: part(newMetrics).map(([key, value]) => ({ key, value, timestamp, step: 0 })),
        params: pairs(part(newParams)),
        tags: pairs(part(newTags)),
      });
    }
    if (run.isFinished) return;
    await this.#api.post('runs/update', {
      run_id: run.id,
      status: 'FINISHED',
      end_time: timestamp,
    });
  }

  async #register(run: MlflowRun): Promise<JsonObject> {
    const { model: name } = this.#target;
    const api = this.#api;
    if (!this.#isRegistered) {
      try {
        await api.post('registered-models/create', { name });
      } catch (error) {
        if (!(error instanceof MstoreError) || error.code !== 'name-taken') throw error;
      }
    }
    const { description } = this.#edition.record.value;
    return api.create(
      async () =>
        objectIn(
          await api.send('model-versions/create', {
            name,
            source: `${run.artifacts.replace(/\/$/, '')}/${folderName}`,
            run_id: run.id,
            tags: pairs(this.#facts.versionTags),
            ...(description === undefined ? {} : { description }),
          }),
          'model_version',
        ),
      () => this.#findVersion(),
    );
  }

  /** Waits until a version may be used: some servers copy its files first. */
  async #ready(version: string): Promise<void> {
    const { model: name } = this.#target;
    await this.#api.web.policy.again(async () => {
      const answer = await this.#api.get('model-versions/get', { name, version });
      const status = textIn(objectIn(answer, 'model_version'), 'status');
      if (status === '' || status === 'READY') return;
      if (status === 'FAILED_REGISTRATION') throw this.#wrong('it could not register the version');
      throw sourceError(unreachable('service', 'the version is not ready'), this.#api.where, {
        act: 'publish',
        said: status,
      });
    }, undefined);
  }

  /** Aliases of the model, and the version that each names. */
  async #aliasesNow(): Promise<Map<string, string>> {
    const { model, aliases } = this.#target;
    if (aliases.length === 0 || !this.#isRegistered) return new Map();
    const answer = await this.#api.get('registered-models/get', { name: model });
    const list = listIn(objectIn(answer, 'registered_model'), 'aliases');
    return new Map(list.map((one) => [textIn(one, 'alias'), String(one['version'] ?? '')]));
  }

  #wrong(what: string): MstoreError {
    return sourceError(refused('wrong-answer', what, 'Look at the server'), this.#api.where, {
      act: 'publish',
    });
  }
}
