import { useId, useState } from 'preact/hooks';
import { formatMetric } from './format.ts';
import { useWidth } from './hooks.ts';
import { Table } from './parts.tsx';
import { linkToVersion } from './route.ts';
import { domainOf, labelsThatFit, linearScale, niceTicks } from './scale.ts';
import { describeSeries, namePlace, type Point, type Series } from './series.ts';

const height = 208;
const marginTop = 26;
const marginBottom = 38;
const marginRight = 14;
/** Widths of characters of the labels, as far as they can be known. */
const letterWidth = 6.6;
/** Characters of a name that are shown in a plot. */
const namesLength = 20;
/** Points beside which it stands where they are live. */
const liveNamesMax = 4;
/** Beyond this many each point is no longer a dot. */
const dotsMax = 60;

interface Drawing {
  readonly width: number;
  readonly left: number;
  readonly x: (index: number) => number;
  readonly y: (value: number) => number;
  readonly ticks: { readonly values: readonly number[]; readonly labels: readonly string[] };
}

function draw({ points, versions }: Series, width: number): Drawing {
  const domain = domainOf(points.map(({ value }) => value));
  const ticks = niceTicks(domain, 4);
  const left = 12 + letterWidth * Math.max(...ticks.labels.map(({ length }) => length));
  const last = Math.max(1, versions - 1);
  // One version alone stands in the middle.
  const x =
    versions === 1
      ? () => (left + width) / 2
      : linearScale([0, last], [left + 8, width - marginRight]);
  return { width, left, x, y: linearScale(domain, [height - marginBottom, marginTop]), ticks };
}

/** A metric over versions, drawn, with the same in words and as a table. */
export function MetricPlot(props: { readonly model: string; readonly series: Series }) {
  const { model, series } = props;
  const [frame, width] = useWidth<HTMLDivElement>();
  const id = useId();
  const [pointed, setPointed] = useState<Point>();
  const last = series.points.at(-1);
  const shown = pointed ?? last;
  return (
    <figure class="plot">
      <figcaption>
        <h3 id={id}>{series.metric}</h3>
        {shown !== undefined && (
          <p class="reading" aria-hidden="true">
            <b>{formatMetric(shown.value)}</b> <span>{shown.version}</span>
          </p>
        )}
      </figcaption>
      <div ref={frame} class="frame">
        {width > 0 && (
          <Chart series={series} width={width} pointed={pointed} onPoint={setPointed} />
        )}
      </div>
      <details>
        <summary>
          As a table<span class="unseen">: {series.metric}</span>
        </summary>
        <SeriesTable model={model} series={series} />
      </details>
    </figure>
  );
}

interface ChartProps {
  readonly series: Series;
  readonly width: number;
  readonly pointed: Point | undefined;
  readonly onPoint: (point: Point | undefined) => void;
}

function Chart({ series, width, pointed, onPoint }: ChartProps) {
  const id = useId();
  const drawing = draw(series, width);
  const { x, y } = drawing;
  const { points } = series;
  const line = points.map(({ index, value }, i) => `${i === 0 ? 'M' : 'L'}${x(index)} ${y(value)}`);
  const dots = points.length <= dotsMax ? points : points.filter(({ live }) => live.length > 0);
  const liveAt = [...points.keys()]
    .filter((i) => points[i]?.live.length !== 0)
    .slice(-liveNamesMax);
  const near = (event: PointerEvent): void => {
    const { left } = (event.currentTarget as Element).getBoundingClientRect();
    const at = event.clientX - left;
    const distance = ({ index }: Point): number => Math.abs(x(index) - at);
    onPoint(points.reduce((a, b) => (distance(b) < distance(a) ? b : a), points[0] as Point));
  };
  return (
    <svg
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      role="img"
      aria-labelledby={`${id}-t`}
      aria-describedby={`${id}-d`}
      onPointerMove={near}
      onPointerLeave={() => onPoint(undefined)}
    >
      <title id={`${id}-t`}>{`${series.metric} over versions`}</title>
      <desc id={`${id}-d`}>{describeSeries(series)}</desc>
      <Axes drawing={drawing} series={series} />
      <path class="line" d={line.join('')} />
      {dots.map((point) => (
        <circle
          key={point.index}
          class={point.live.length > 0 ? 'dot live' : 'dot'}
          cx={x(point.index)}
          cy={y(point.value)}
          r={point.live.length > 0 ? 5 : 3}
        />
      ))}
      {liveAt.map((at) => (
        <LiveName key={at} points={points} at={at} drawing={drawing} />
      ))}
      {pointed !== undefined && (
        <g class="pointed">
          <line
            x1={x(pointed.index)}
            x2={x(pointed.index)}
            y1={marginTop}
            y2={height - marginBottom}
          />
          <circle cx={x(pointed.index)} cy={y(pointed.value)} r={5} />
        </g>
      )}
    </svg>
  );
}

/** Names the environments in which a point is live, where the line leaves room. */
function LiveName(props: {
  readonly points: readonly Point[];
  readonly at: number;
  readonly drawing: Drawing;
}) {
  const { points, at } = props;
  const { x, y, left, width } = props.drawing;
  const { index, value, live } = points[at] as Point;
  const name = shortened(live.join(', '));
  const { side, anchor } = namePlace(points[at - 1]?.value, value, points[at + 1]?.value);
  const half = (letterWidth * name.length) / 2 + 4;
  const aside = { start: half - 8, middle: 0, end: 8 - half }[anchor];
  const middle = Math.min(Math.max(x(index) + aside, left + half), width - half);
  const isBelow = side === 'below' && y(value) + 19 < height - 24;
  return (
    <text
      class="live-name"
      x={middle}
      y={isBelow ? y(value) + 19 : y(value) - 11}
      text-anchor="middle"
    >
      {name}
    </text>
  );
}

function shortened(name: string): string {
  return name.length > namesLength ? `${name.slice(0, namesLength - 1)}…` : name;
}

function Axes({ drawing, series }: { readonly drawing: Drawing; readonly series: Series }) {
  const { width, left, x, y, ticks } = drawing;
  const names = new Map(series.points.map(({ index, version }) => [index, shortened(version)]));
  const widest = letterWidth * Math.max(...[...names.values()].map(({ length }) => length)) + 18;
  const labelled = labelsThatFit(series.points.length, widest, width - left);
  return (
    <g class="axes">
      {ticks.values.map((value, i) => (
        <g key={value}>
          <line x1={left} x2={width - marginRight} y1={y(value)} y2={y(value)} />
          <text x={left - 6} y={y(value)} dy="0.32em" text-anchor="end">
            {ticks.labels[i]}
          </text>
        </g>
      ))}
      {labelled.map((i) => {
        const { index } = series.points[i] as Point;
        const version = names.get(index) ?? '';
        const half = (letterWidth * version.length) / 2;
        // Names at the ends stay inside.
        const at = Math.min(Math.max(x(index), left - 8 + half), width - half);
        return (
          <text key={index} x={at} y={height - 10} text-anchor="middle">
            {version}
          </text>
        );
      })}
    </g>
  );
}

function SeriesTable({ model, series }: { readonly model: string; readonly series: Series }) {
  const head = (
    <tr>
      <th scope="col">Version</th>
      <th scope="col" class="number">
        {series.metric}
      </th>
      <th scope="col">Live in</th>
    </tr>
  );
  return (
    <Table caption={`${series.metric} of each version, the newest first`} head={head} class="short">
      {series.points.toReversed().map(({ version, value, live, index }) => (
        <tr key={index}>
          <th scope="row">
            <a class="version" href={linkToVersion(model, version)}>
              {version}
            </a>
          </th>
          <td class="number">{formatMetric(value)}</td>
          <td>{live.join(', ')}</td>
        </tr>
      ))}
    </Table>
  );
}
