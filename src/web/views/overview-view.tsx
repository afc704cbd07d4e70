import { modelPath } from '../api.ts';
import { useLoad } from '../hooks.ts';
import { CommandLine, Empty, Moment, Show, VersionLink } from '../parts.tsx';
import { MetricPlot } from '../plot.tsx';
import { linkToModel } from '../route.ts';
import { metricNames, seriesOf } from '../series.ts';
import type { Health, HistoryAnswer, LiveEnvironment } from '../wire.ts';
import { HistoryList } from './history-view.tsx';
import type { ModelParts } from './model-view.tsx';

const plotsMax = 4;
const entriesMax = 5;

/** What is live where, how it is, how the metrics went, and what changed last. */
export function OverviewView(parts: ModelParts) {
  const { model, versions } = parts;
  const names = metricNames(versions.versions);
  return (
    <>
      <Environments {...parts} />
      <section aria-labelledby="metrics">
        <div class="heading">
          <h2 id="metrics">Metrics</h2>
          {names.length > plotsMax && (
            <a href={linkToModel(model, 'metrics')}>All {names.length} metrics</a>
          )}
        </div>
        {names.length === 0 ? (
          <Empty title="No version has metrics">
            <p>Give them when a version is registered:</p>
            <CommandLine text={`mstore register ${model}@VERSION PATH --metric accuracy=0.93`} />
          </Empty>
        ) : (
          <div class="plots">
            {names.slice(0, plotsMax).map((name) => (
              <MetricPlot key={name} model={model} series={seriesOf(versions.versions, name)} />
            ))}
          </div>
        )}
      </section>
      <LastChanges model={model} />
    </>
  );
}

function Environments(parts: ModelParts) {
  const { model, environments, onMove } = parts;
  const { lifecycle } = environments;
  const live = new Map(environments.environments.map((one) => [one.environment, one]));
  const others = [...live.keys()].filter((name) => !lifecycle.includes(name));
  const names = [...lifecycle, ...others];
  return (
    <section aria-labelledby="environments">
      <div class="heading">
        <h2 id="environments">Environments</h2>
        {onMove !== undefined && (
          <button type="button" class="primary" onClick={() => onMove({ action: 'deploy' })}>
            Deploy…
          </button>
        )}
      </div>
      {names.length === 0 ? (
        <Empty title="Nothing is live yet">
          <p>Make a version live somewhere:</p>
          <CommandLine text={`mstore deploy ${model}@VERSION --env production`} />
        </Empty>
      ) : (
        <ul class="cards">
          {names.map((name) => (
            <li key={name}>
              <EnvironmentCard name={name} live={live.get(name)} {...parts} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

interface CardProps extends ModelParts {
  readonly name: string;
  readonly live: LiveEnvironment | undefined;
}

function EnvironmentCard({ name, live, ...parts }: CardProps) {
  const { model, onMove, environments } = parts;
  const id = `environment-${name}`;
  if (live === undefined) {
    return (
      <article class="card" aria-labelledby={id}>
        <h3 id={id}>{name}</h3>
        <p class="quiet">Nothing is live here yet</p>
      </article>
    );
  }
  const { lifecycle } = environments;
  const at = lifecycle.indexOf(name);
  const next = at < 0 ? undefined : lifecycle[at + 1];
  // Behind the last step nothing comes.
  const isLast = at >= 0 && next === undefined;
  return (
    <article class="card" aria-labelledby={id}>
      <div class="heading">
        <h3 id={id}>{name}</h3>
        <HealthBadge model={model} environment={name} />
      </div>
      <p class="large">
        <VersionLink model={model} version={live.version} />
      </p>
      <p class="quiet">
        {verbs[live.action] ?? live.action} <Moment at={live.since} /> by {live.by}
      </p>
      {live.reason !== undefined && <blockquote>{live.reason}</blockquote>}
      {onMove !== undefined && (
        <p class="actions">
          <button type="button" onClick={() => onMove({ action: 'rollback', environment: name })}>
            Roll back<span class="unseen"> {name}</span>…
          </button>
          {!isLast && (
            <button
              type="button"
              onClick={() =>
                onMove({
                  action: 'promote',
                  from: name,
                  ...(next === undefined ? {} : { to: next }),
                })
              }
            >
              Promote<span class="unseen"> what is live in {name}</span>…
            </button>
          )}
        </p>
      )}
    </article>
  );
}

const verbs: Readonly<Record<string, string>> = {
  deploy: 'Deployed',
  promote: 'Promoted',
  rollback: 'Rolled back',
};

const healthSigns = { healthy: '✓', degraded: '!', unavailable: '✕' } as const;

function HealthBadge(props: { readonly model: string; readonly environment: string }) {
  const { model, environment } = props;
  const { value, error } = useLoad<Health>(modelPath(model, '/health', { environment }));
  if (value === undefined) {
    const text = error === undefined ? 'Checking…' : 'Health unknown';
    return (
      <span class={error === undefined ? 'badge checking' : 'badge'} title={error?.message}>
        {text}
      </span>
    );
  }
  const { status, problems } = value;
  const badge = (
    <span class={`badge health-${status}`}>
      <span class="sign" aria-hidden="true">
        {healthSigns[status]}
      </span>
      {status}
    </span>
  );
  if (problems.length === 0) return badge;
  return (
    <details class="health">
      <summary>{badge}</summary>
      <ul>
        {problems.slice(0, 20).map((problem) => (
          <li key={problem}>{problem}</li>
        ))}
        {problems.length > 20 && <li>and {problems.length - 20} more</li>}
      </ul>
    </details>
  );
}

function LastChanges({ model }: { readonly model: string }) {
  const history = useLoad<HistoryAnswer>(modelPath(model, '/history', { limit: entriesMax }));
  return (
    <section aria-labelledby="changes">
      <div class="heading">
        <h2 id="changes">Last changes</h2>
        <a href={linkToModel(model, 'history')}>Whole history</a>
      </div>
      <Show of={history} what="the history">
        {({ entries }) =>
          entries.length === 0 ? (
            <Empty title="Nothing was ever live" />
          ) : (
            <HistoryList model={model} entries={entries} />
          )
        }
      </Show>
    </section>
  );
}
