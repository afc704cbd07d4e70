import type { Clock, Random } from '../base/clock.ts';
import type { ChosenRemote } from '../flow/remotes.ts';
import type { Workspace } from '../flow/workspace.ts';
import { parseMonitorRules } from '../monitor/rules.ts';
import type { Metrics } from './metrics.ts';
import { ModelMetrics } from './model-metrics.ts';
import { type MonitorLog, Monitors } from './monitors.ts';
import { Webhooks } from './notify.ts';
import { Recorder } from './recorder.ts';

/** Time between two looks at what was counted. */
const judgeEveryMsUsual = 5_000;

/** How environments are watched. */
export interface WatchingOptions {
  /** Who stands in the history of environments that were brought back. */
  readonly by: string;
  /** Absolute path of a file to write down what monitors are told; undefined for none. */
  readonly recordFile?: string | undefined;
  /** Who is told by POST, and the key of the signatures. */
  readonly webhooks?: { readonly urls: readonly string[]; readonly secret: string } | undefined;
  /** Milliseconds between two looks at what was counted; 5 seconds unless told. */
  readonly judgeEveryMs?: number | undefined;
}

/** What watching is made from. */
export interface WatchingParts {
  readonly workspace: Workspace;
  readonly chosen: ChosenRemote;
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly watching: WatchingOptions;
}

/** Monitors with all that they tell. */
export interface Watching {
  readonly monitors: Monitors;
  start(): void;
  close(): Promise<void>;
}

/**
 * Makes the monitors of a server, by the rules of the workspace.
 * @throws MstoreError `config-invalid`, `usage`
 */
export function makeWatching(parts: WatchingParts, log: MonitorLog, metrics: Metrics): Watching {
  const { workspace, chosen, stateFolder, clock, random, watching } = parts;
  const { value, file } = workspace.config.monitors;
  const rules = parseMonitorRules(value, file);
  const { by, recordFile, webhooks: told, judgeEveryMs = judgeEveryMsUsual } = watching;
  const webhooks =
    told === undefined ? undefined : new Webhooks({ ...told, stateFolder, clock, random, log });
  const recorder =
    recordFile === undefined
      ? undefined
      : new Recorder(
          recordFile,
          () => clock.now(),
          (err) => log.warn({ err }, 'What monitors are told cannot be written down'),
        );
  const monitors = new Monitors({
    ...{ workspace, chosen, rules, by, stateFolder, log, recorder, judgeEveryMs },
    notify: webhooks && ((event) => webhooks.tell(event)),
    metrics: new ModelMetrics(metrics),
  });
  return {
    monitors,
    start() {
      webhooks?.start();
      monitors.start();
    },
    async close() {
      await monitors.close();
      await webhooks?.close();
      recorder?.close();
    },
  };
}
