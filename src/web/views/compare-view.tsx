import { modelPath } from '../api.ts';
import {
  count,
  formatBytes,
  formatDifference,
  formatMetric,
  formatShare,
  formatValue,
} from '../format.ts';
import { useLoad, useQuery } from '../hooks.ts';
import { pageOf } from '../listing.ts';
import { Empty, Filters, Pager, Show, Table, VersionLink } from '../parts.tsx';
import { metricDelta } from '../series.ts';
import type { ComparedVersion, Comparison, FileChange, VersionsAnswer } from '../wire.ts';
import type { ModelParts } from './model-view.tsx';

/** Changes that are asked for at once. */
const changesMax = 1000;

/** How two versions differ: files, bytes, metrics, and what is said of them. */
export function CompareView({ model, versions }: ModelParts) {
  const [query] = useQuery();
  const names = versions.versions
    .filter(({ state }) => state !== 'deleted')
    .map(({ version }) => version);
  const to = query.get('to') ?? versions.latest ?? names[0];
  const from = query.get('from') ?? names.find((name) => name !== to) ?? to;
  const isPossible = from !== undefined && to !== undefined && names.length > 0;
  const asked = isPossible ? { from, to, limit: changesMax } : undefined;
  const compared = useLoad<Comparison>(asked && modelPath(model, '/compare', asked));
  if (!isPossible) return <Empty title="There is no version to compare" />;
  return (
    <section aria-labelledby="compare">
      <h2 id="compare">Compare versions</h2>
      <Choice names={names} from={from} to={to} />
      <Show of={compared} what={`${from} and ${to}`}>
        {(found) => <Compared model={model} of={found} rules={versions} />}
      </Show>
    </section>
  );
}

interface ChoiceProps {
  readonly names: readonly string[];
  readonly from: string;
  readonly to: string;
}

function Choice({ names, from, to }: ChoiceProps) {
  const [, change] = useQuery();
  return (
    <Filters>
      <VersionSelect
        label="From"
        names={names}
        value={from}
        onChange={(name) => change({ from: name, to })}
      />
      <button type="button" class="swap" onClick={() => change({ from: to, to: from })}>
        <span aria-hidden="true">⇄</span>
        <span class="unseen">Swap the versions</span>
      </button>
      <VersionSelect
        label="To"
        names={names}
        value={to}
        onChange={(name) => change({ from, to: name })}
      />
    </Filters>
  );
}

function VersionSelect(props: {
  readonly label: string;
  readonly names: readonly string[];
  readonly value: string;
  readonly onChange: (name: string) => void;
}) {
  const { label, names, value, onChange } = props;
  // An address may name an environment, or a version that is gone.
  const all = names.includes(value) ? names : [value, ...names];
  return (
    <label>
      {label}
      <select value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
        {all.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

interface ComparedProps {
  readonly model: string;
  readonly of: Comparison;
  readonly rules: VersionsAnswer;
}

function Compared({ model, of, rules }: ComparedProps) {
  const { from, to, shared, files } = of;
  const differing = files.added + files.removed + files.modified + files.mode;
  return (
    <>
      <dl class="numbers">
        <div>
          <dt>Files</dt>
          <dd>
            {differing === 0 ? 'all the same' : `${differing} differ`}{' '}
            <span class="quiet">{files.same.toLocaleString('en')} unchanged</span>
          </dd>
        </div>
        <div>
          <dt>Stored once for both</dt>
          <dd>
            {formatBytes(shared)}{' '}
            <span class="quiet">
              {formatShare(shared, to.stored)} of {to.version}
            </span>
          </dd>
        </div>
        <Own of={from} model={model} />
        <Own of={to} model={model} />
      </dl>
      <Metrics of={of} rules={rules} />
      <Changes of={of} />
      <Fields of={of} />
    </>
  );
}

function Own({ of, model }: { readonly of: ComparedVersion; readonly model: string }) {
  return (
    <div>
      <dt>
        Only <VersionLink model={model} version={of.version} /> has
      </dt>
      <dd>
        {formatBytes(of.own)} <span class="quiet">of {formatBytes(of.size)}</span>
      </dd>
    </div>
  );
}

const verdictSigns = { better: '✓ better', worse: '✕ worse', unknown: '' } as const;

function Metrics({ of, rules }: Pick<ComparedProps, 'of' | 'rules'>) {
  const { metrics, from, to } = of;
  if (metrics.length === 0) return <Empty title="No metric differs" />;
  const head = (
    <tr>
      <th scope="col">Metric</th>
      <th scope="col" class="number">
        {from.version}
      </th>
      <th scope="col" class="number">
        {to.version}
      </th>
      <th scope="col" class="number">
        Difference
      </th>
      <th scope="col">For the gate</th>
    </tr>
  );
  return (
    <Table caption="Metrics that differ" isTitled head={head} class="short">
      {metrics.map(({ name, before, after }) => {
        const delta =
          before === undefined || after === undefined
            ? undefined
            : metricDelta(name, before, after, rules);
        return (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td class="number">{before === undefined ? '–' : formatMetric(before)}</td>
            <td class="number">{after === undefined ? '–' : formatMetric(after)}</td>
            <td class="number">{delta === undefined ? '' : formatDifference(delta.difference)}</td>
            <td class={delta?.verdict}>{verdictSigns[delta?.verdict ?? 'unknown']}</td>
          </tr>
        );
      })}
    </Table>
  );
}

const changeWords: Readonly<Record<FileChange['change'], string>> = {
  added: 'added',
  removed: 'removed',
  modified: 'changed',
  mode: 'mode changed',
};

function Changes({ of }: { readonly of: Comparison }) {
  const [query, change] = useQuery();
  const { changes, files, from, to } = of;
  const total = files.added + files.removed + files.modified + files.mode;
  if (total === 0) return <Empty title="All files are the same" />;
  const page = pageOf(changes, Number(query.get('page') ?? 1));
  const sizeOf = (side: FileChange['before']): string =>
    side === undefined ? '–' : side.link === undefined ? formatBytes(side.size) : `→ ${side.link}`;
  const head = (
    <tr>
      <th scope="col">File</th>
      <th scope="col">Change</th>
      <th scope="col" class="number">
        {from.version}
      </th>
      <th scope="col" class="number">
        {to.version}
      </th>
    </tr>
  );
  return (
    <>
      <Table caption="Files that differ" isTitled head={head} class="files">
        {page.items.map((one) => (
          <tr key={one.path}>
            <th scope="row">
              <code>{one.path}</code>
            </th>
            <td>
              <span class={`badge change-${one.change}`}>{changeWords[one.change]}</span>
            </td>
            <td class="number">{sizeOf(one.before)}</td>
            <td class="number">{sizeOf(one.after)}</td>
          </tr>
        ))}
      </Table>
      <Pager of={page} what="changes" onPage={(number) => change({ page: String(number) })} />
      {total > changes.length && (
        <p class="quiet">
          The first {changes.length.toLocaleString('en')} of {count(total, 'change')}.
        </p>
      )}
    </>
  );
}

function Fields({ of: { fields, from, to } }: { readonly of: Comparison }) {
  if (fields.length === 0) return null;
  const head = (
    <tr>
      <th scope="col">What is said</th>
      <th scope="col">{from.version}</th>
      <th scope="col">{to.version}</th>
    </tr>
  );
  return (
    <Table caption="Descriptions, labels and metadata that differ" isTitled head={head}>
      {fields.slice(0, 200).map(({ name, before, after }) => (
        <tr key={name}>
          <th scope="row">{name}</th>
          <td>
            <pre>{formatValue(before)}</pre>
          </td>
          <td>
            <pre>{formatValue(after)}</pre>
          </td>
        </tr>
      ))}
    </Table>
  );
}
