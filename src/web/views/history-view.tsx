import { modelPath } from '../api.ts';
import { formatMetric, formatValue } from '../format.ts';
import { useLoad, useQuery } from '../hooks.ts';
import { pageOf } from '../listing.ts';
import { Empty, ExactMoment, Filters, Pager, Show, VersionLink } from '../parts.tsx';
import type { GateDecision, HistoryAnswer, HistoryEntry } from '../wire.ts';
import type { ModelParts } from './model-view.tsx';

/** Entries that are asked for; a history of more is better read by a program. */
const entriesMax = 1000;

/** What was live where and when, who made it so, and why. */
export function HistoryView({ model, environments }: ModelParts) {
  const [query, change] = useQuery();
  const names = environments.environments.map(({ environment }) => environment);
  const environment = names.find((name) => name === query.get('env'));
  const asked = { limit: entriesMax, ...(environment === undefined ? {} : { environment }) };
  const history = useLoad<HistoryAnswer>(modelPath(model, '/history', asked));
  return (
    <section aria-labelledby="history">
      <h2 id="history">History</h2>
      <Filters>
        <label>
          Environment
          <select
            value={environment ?? ''}
            onChange={({ currentTarget }) => change({ env: currentTarget.value, page: undefined })}
          >
            <option value="">All of them</option>
            {names.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </Filters>
      <Show of={history} what="the history">
        {({ entries, total }) => {
          const page = pageOf(entries, Number(query.get('page') ?? 1));
          if (entries.length === 0) return <Empty title="Nothing was ever live" />;
          return (
            <>
              <HistoryList model={model} entries={page.items} />
              <Pager
                of={page}
                what="the history"
                onPage={(number) => change({ page: String(number) })}
              />
              {total > entries.length && <p class="quiet">Older entries: mstore history {model}</p>}
            </>
          );
        }}
      </Show>
    </section>
  );
}

/** Keys of an entry that are shown in its sentence, or are nobody's business. */
const told = new Set([
  ...['environment', 'version', 'number', 'action', 'by', 'reason', 'from', 'forced', 'gate'],
  ...['at', 'sha256', 'model', 'record', 'previous'],
]);

/** Entries of a history, the newest first. */
export function HistoryList(props: {
  readonly model: string;
  readonly entries: readonly HistoryEntry[];
}) {
  return (
    <ol class="history">
      {props.entries.map((entry) => (
        <li key={`${entry.environment} ${entry.number}`}>
          <Entry model={props.model} entry={entry} />
        </li>
      ))}
    </ol>
  );
}

function Entry({ model, entry }: { readonly model: string; readonly entry: HistoryEntry }) {
  const { environment, version, action, by, at, reason, from, forced, gate } = entry;
  const more = Object.entries(entry).filter(([key]) => !told.has(key));
  return (
    <>
      <p>
        <span class={`badge action-${action}`}>{action}</span>{' '}
        <VersionLink model={model} version={version} />{' '}
        {action === 'rollback' ? 'is live again in' : 'went to'} <b>{environment}</b>
        {from !== undefined && (
          <>
            {' '}
            from <b>{from}</b>
          </>
        )}
        {forced === true && (
          <>
            {' '}
            <span class="badge forced">by force</span>
          </>
        )}
      </p>
      <p class="quiet">
        <ExactMoment at={at} /> by {by}
      </p>
      {reason !== undefined && <blockquote>{reason}</blockquote>}
      {gate !== undefined && <GateLine gate={gate} />}
      {more.length > 0 && (
        <details>
          <summary>
            More facts
            <span class="unseen">
              {' '}
              of entry {entry.number} of {environment}
            </span>
          </summary>
          <dl class="facts">
            {more.map(([key, value]) => (
              <div key={key}>
                <dt>{key}</dt>
                <dd>
                  <pre>{formatValue(value)}</pre>
                </dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </>
  );
}

/** What the gate said, in one line. */
export function GateLine({ gate }: { readonly gate: GateDecision }) {
  const { passed, policy, score, rival, rival_score: rivalScore, margin } = gate;
  const parts = [
    ...(score === undefined ? [] : [`score ${formatMetric(score)}`]),
    ...(rival === undefined || rivalScore === undefined
      ? []
      : [`${rival} had ${formatMetric(rivalScore)}`]),
    ...(margin === undefined ? [] : [`margin ${formatMetric(margin)}`]),
  ];
  return (
    <p class="gate">
      <span class={`badge ${passed ? 'passed' : 'refused'}`}>
        <span class="sign" aria-hidden="true">
          {passed ? '✓' : '✕'}
        </span>
        gate {passed ? 'passed' : 'refused'}
      </span>{' '}
      {policy !== undefined && <>policy {policy}</>}
      {parts.length > 0 && <>: {parts.join(', ')}</>}
    </p>
  );
}
