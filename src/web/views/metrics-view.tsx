import { count } from '../format.ts';
import { useQuery } from '../hooks.ts';
import { pageOf } from '../listing.ts';
import { Empty, Filters, Pager, SearchField } from '../parts.tsx';
import { MetricPlot } from '../plot.tsx';
import { metricNames, seriesOf } from '../series.ts';
import type { ModelParts } from './model-view.tsx';

const plotsOnPage = 12;

/** Newest versions that are plotted, where not all are. */
const spans = [20, 50, 100] as const;

/** All metrics over versions. */
export function MetricsView({ model, versions: { versions: all } }: ModelParts) {
  const [query, change] = useQuery();
  const text = query.get('q') ?? '';
  const span = spans.find((one) => String(one) === query.get('last'));
  const versions = span === undefined ? all : all.slice(0, span);
  const names = metricNames(versions);
  const shown = names.filter((name) => name.toLowerCase().includes(text.trim().toLowerCase()));
  const page = pageOf(shown, Number(query.get('page') ?? 1), plotsOnPage);
  return (
    <section aria-labelledby="metrics">
      <h2 id="metrics">Metrics over versions</h2>
      {all.length > 0 && (
        <Filters>
          <SearchField
            text={text}
            placeholder="Name of a metric"
            onText={(q) => change({ q, page: undefined })}
          />
          <label>
            Versions
            <select
              value={span === undefined ? '' : String(span)}
              onChange={({ currentTarget }) => change({ last: currentTarget.value })}
            >
              <option value="">All {all.length}</option>
              {spans
                .filter((one) => one < all.length)
                .map((one) => (
                  <option key={one} value={one}>
                    The newest {one}
                  </option>
                ))}
            </select>
          </label>
          <p role="status" class="quiet">
            {count(shown.length, 'metric')}
          </p>
        </Filters>
      )}
      {shown.length === 0 && (
        <Empty
          title={names.length === 0 ? 'No version has metrics' : `No metric is called like ${text}`}
        />
      )}
      <div class="plots">
        {page.items.map((name) => (
          <MetricPlot key={name} model={model} series={seriesOf(versions, name)} />
        ))}
      </div>
      <Pager of={page} what="metrics" onPage={(number) => change({ page: String(number) })} />
    </section>
  );
}
