import { useState } from 'preact/hooks';
import { count, formatBytes, formatMetric } from '../format.ts';
import { useQuery } from '../hooks.ts';
import {
  filterVersions,
  formatOrder,
  type Order,
  pageOf,
  parseOrder,
  sortVersions,
} from '../listing.ts';
import {
  CommandLine,
  Empty,
  Filters,
  LiveBadge,
  Moment,
  Pager,
  SearchField,
  StateBadge,
  Table,
  VersionLink,
} from '../parts.tsx';
import { linkToModel } from '../route.ts';
import { metricNames } from '../series.ts';
import type { VersionSummary } from '../wire.ts';
import type { ModelParts } from './model-view.tsx';

/** Metrics that have a column; all of them are on the page of a version. */
const columnsMax = 4;

/** All versions: found by words and states, sorted by any column, two of them compared. */
export function VersionsView({ model, versions: { versions: all } }: ModelParts) {
  const [query, change] = useQuery();
  if (all.length === 0) {
    return (
      <Empty title="There is no version">
        <CommandLine text={`mstore register ${model}@v1.0.0 PATH`} />
      </Empty>
    );
  }
  const filter = { text: query.get('q') ?? '', state: query.get('state') ?? '' };
  const order = parseOrder(query.get('sort'));
  const found = sortVersions(filterVersions(all, filter), order);
  const page = pageOf(found, Number(query.get('page') ?? 1));
  const states = [...new Set(all.map(({ state }) => state))];
  return (
    <section aria-labelledby="versions">
      <h2 id="versions">Versions</h2>
      <Filters>
        <SearchField
          text={filter.text}
          placeholder="Version, author, label, environment"
          onText={(q) => change({ q, page: undefined })}
        />
        <label>
          State
          <select
            value={filter.state}
            onChange={({ currentTarget }) =>
              change({ state: currentTarget.value, page: undefined })
            }
          >
            <option value="">Any</option>
            <option value="live">live somewhere</option>
            {states.map((state) => (
              <option key={state}>{state}</option>
            ))}
          </select>
        </label>
        <p role="status" class="quiet">
          {found.length === all.length
            ? count(all.length, 'version')
            : `${found.length} of ${count(all.length, 'version')}`}
        </p>
      </Filters>
      {found.length === 0 ? (
        <Empty title="No version is like that" />
      ) : (
        <VersionTable
          model={model}
          versions={page.items}
          metrics={metricNames(all).slice(0, columnsMax)}
          order={order}
          onOrder={(by) => change({ sort: formatOrder(by), page: undefined })}
        />
      )}
      <Pager of={page} what="versions" onPage={(number) => change({ page: String(number) })} />
    </section>
  );
}

interface VersionTableProps {
  readonly model: string;
  readonly versions: readonly VersionSummary[];
  readonly metrics: readonly string[];
  readonly order: Order;
  readonly onOrder: (order: Order) => void;
}

function VersionTable({ model, versions, metrics, order, onOrder }: VersionTableProps) {
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const choose = (version: string, isChosen: boolean): void =>
    // Of three the one that was chosen first gives way.
    setChosen((old) =>
      [...old.filter((one) => one !== version), ...(isChosen ? [version] : [])].slice(-2),
    );
  const column = { order, onOrder };
  const head = (
    <tr>
      <td>
        <span class="unseen">Compare</span>
      </td>
      <SortHead {...column} by="version" text="Version" />
      <th scope="col">State</th>
      <th scope="col">Live in</th>
      {metrics.map((name) => (
        <SortHead key={name} {...column} by={`metric:${name}`} text={name} isNumber />
      ))}
      <SortHead {...column} by="size" text="Size" isNumber />
      <SortHead {...column} by="created" text="Created" />
      <th scope="col">Author</th>
    </tr>
  );
  const [from, to] = chosen;
  return (
    <>
      <p class="compare-bar" role="status">
        {from === undefined || to === undefined ? (
          <span class="quiet">Choose two versions to compare them</span>
        ) : (
          <a class="button" href={linkToModel(model, 'compare', { from, to })}>
            Compare {from} with {to}
          </a>
        )}
      </p>
      <Table caption="Versions with their states, metrics and sizes" head={head} class="versions">
        {versions.map((one) => (
          <tr key={one.version}>
            <td>
              <input
                type="checkbox"
                aria-label={`Compare ${one.version}`}
                checked={chosen.includes(one.version)}
                onChange={({ currentTarget }) => choose(one.version, currentTarget.checked)}
              />
            </td>
            <VersionCells model={model} of={one} metrics={metrics} />
          </tr>
        ))}
      </Table>
    </>
  );
}

function VersionCells(props: {
  readonly model: string;
  readonly of: VersionSummary;
  readonly metrics: readonly string[];
}) {
  const { version, state, live, metrics, size, created, author, status } = props.of;
  return (
    <>
      <th scope="row">
        <VersionLink model={props.model} version={version} />
      </th>
      <td>
        <StateBadge state={state} />
        {status !== undefined && <span class="quiet"> {status}</span>}
      </td>
      <td>
        {live.map((environment) => (
          <LiveBadge key={environment} environment={environment} />
        ))}
      </td>
      {props.metrics.map((name) => {
        const value = Object.hasOwn(metrics, name) ? metrics[name] : undefined;
        return (
          <td key={name} class="number">
            {value === undefined ? '' : formatMetric(value)}
          </td>
        );
      })}
      <td class="number">{formatBytes(size)}</td>
      <td>
        <Moment at={created} />
      </td>
      <td class="author" title={author}>
        {author.replace(/ *<[^<>]*>$/, '') || author}
      </td>
    </>
  );
}

interface SortHeadProps {
  readonly by: string;
  readonly text: string;
  readonly isNumber?: boolean;
  readonly order: Order;
  readonly onOrder: (order: Order) => void;
}

function SortHead({ by, text, isNumber, order, onOrder }: SortHeadProps) {
  const isSorted = order.by === by;
  const sorted = order.isDescending ? 'descending' : 'ascending';
  return (
    <th
      scope="col"
      class={isNumber ? 'number' : undefined}
      aria-sort={isSorted ? sorted : undefined}
    >
      <button
        type="button"
        class="sort"
        // The greatest first, then the least.
        onClick={() => onOrder({ by, isDescending: isSorted ? !order.isDescending : true })}
      >
        {text}
        <span aria-hidden="true">{isSorted ? (order.isDescending ? ' ↓' : ' ↑') : ''}</span>
      </button>
    </th>
  );
}
