import type { ComponentChildren } from 'preact';
import { modelPath } from '../api.ts';
import { formatBytes, formatMetric, formatValue } from '../format.ts';
import { useLoad } from '../hooks.ts';
import { Empty, ExactMoment, LiveBadge, Show, StateBadge, Table } from '../parts.tsx';
import { linkToModel } from '../route.ts';
import type { VersionDetails } from '../wire.ts';
import { FileList } from './file-list.tsx';
import { ModelContents, type ModelParts } from './model-view.tsx';

/** Everything of one version. */
export function VersionView(props: { readonly model: string; readonly version: string }) {
  const { model, version } = props;
  const path = modelPath(model, `/${encodeURIComponent(version)}`);
  const details = useLoad<VersionDetails>(path);
  return (
    <Show of={details} what={`${model}@${version}`}>
      {(found) => (
        <>
          <Summary model={model} details={found} />
          <Facts details={found} />
          <Metrics details={found} />
          <FileList model={model} version={found.record.version} />
          <Lived details={found} />
          <Metadata details={found} />
        </>
      )}
    </Show>
  );
}

function stateOf({ states }: VersionDetails): string {
  return states.at(-1)?.state ?? 'active';
}

function Summary(props: { readonly model: string; readonly details: VersionDetails }) {
  const { model, details } = props;
  const { version } = details.record;
  return (
    <ModelContents model={model}>
      {(parts) => (
        <div class="summary">
          <p>
            <StateBadge state={stateOf(details)} />{' '}
            {details.live
              .filter(({ until }) => until === null)
              .map(({ environment }) => (
                <LiveBadge key={environment} environment={environment} />
              ))}
          </p>
          <Actions {...parts} version={version} />
        </div>
      )}
    </ModelContents>
  );
}

function Actions({ model, version, versions, onMove }: ModelParts & { readonly version: string }) {
  const at = versions.versions.findIndex((one) => one.version === version);
  const older = at < 0 ? undefined : versions.versions[at + 1];
  return (
    <p class="actions">
      {older !== undefined && (
        <a
          class="button"
          href={linkToModel(model, 'compare', { from: older.version, to: version })}
        >
          Compare with {older.version}
        </a>
      )}
      {onMove !== undefined && (
        <button type="button" class="primary" onClick={() => onMove({ action: 'deploy', version })}>
          Deploy…
        </button>
      )}
    </p>
  );
}

function Facts({ details }: { readonly details: VersionDetails }) {
  const { record, sha256 } = details;
  const { description, changelog = [], status, labels = {}, content } = record;
  return (
    <section aria-labelledby="facts">
      <h2 id="facts">Facts</h2>
      {description !== undefined && <p class="prose">{description}</p>}
      {changelog.length > 0 && (
        <ul class="prose">
          {changelog.map((line, i) => (
            <li key={`${i} ${line}`}>{line}</li>
          ))}
        </ul>
      )}
      <dl class="facts">
        <Fact name="Registered">
          <ExactMoment at={record.created} /> by {record.author}
        </Fact>
        {status !== undefined && <Fact name="Status">{status}</Fact>}
        {Object.entries(labels).map(([name, value]) => (
          <Fact key={name} name={`Label ${name}`}>
            {value}
          </Fact>
        ))}
        <Fact name="Path">
          <code>{content.path}</code>
        </Fact>
        <Fact name="Size">{formatBytes(content.size)}</Fact>
        <Fact name="Content">
          <code class="digest">{content.sha256}</code>
        </Fact>
        <Fact name="Record">
          <code class="digest">{sha256}</code>
        </Fact>
      </dl>
    </section>
  );
}

function Fact(props: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}

function Metrics({ details }: { readonly details: VersionDetails }) {
  const metrics = Object.entries(details.record.metrics).sort(([a], [b]) => (a < b ? -1 : 1));
  const head = (
    <tr>
      <th scope="col">Metric</th>
      <th scope="col" class="number">
        Value
      </th>
    </tr>
  );
  return (
    <section aria-labelledby="metrics">
      <h2 id="metrics">Metrics</h2>
      {metrics.length === 0 ? (
        <Empty title="This version has no metrics" />
      ) : (
        <Table caption="Metrics of this version" head={head} class="short">
          {metrics.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number" title={String(value)}>
                {formatMetric(value)}
              </td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

function Lived({ details }: { readonly details: VersionDetails }) {
  const { live, states } = details;
  if (live.length + states.length === 0) return null;
  return (
    <section aria-labelledby="lived">
      <h2 id="lived">Where it was live, and its states</h2>
      <ol class="history">
        {live.map((period) => (
          <li key={`${period.environment} ${period.number}`}>
            <p>
              <LiveBadge environment={period.environment} /> <ExactMoment at={period.since} />
              {' – '}
              {period.until === null ? 'now' : <ExactMoment at={period.until} />}
            </p>
            <p class="quiet">
              {period.action} by {period.by}
            </p>
            {period.reason !== undefined && <blockquote>{period.reason}</blockquote>}
          </li>
        ))}
        {states.toReversed().map((entry) => (
          <li key={`state ${entry.number}`}>
            <p>
              became <b>{entry.state}</b>
            </p>
            <p class="quiet">
              <ExactMoment at={entry.at} /> by {entry.by}
            </p>
            {entry.reason !== undefined && <blockquote>{entry.reason}</blockquote>}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Metadata({ details }: { readonly details: VersionDetails }) {
  const { metadata, source } = details.record;
  const parts = Object.entries({ metadata, source }).filter(([, value]) => value !== undefined);
  if (parts.length === 0) return null;
  return (
    <section aria-labelledby="metadata">
      <h2 id="metadata">Metadata and origin</h2>
      {parts.map(([name, value]) => (
        <details key={name}>
          <summary>{name}</summary>
          <pre>{formatValue(value)}</pre>
        </details>
      ))}
    </section>
  );
}
