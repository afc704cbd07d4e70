import { modelPath } from '../api.ts';
import { count, formatBytes, formatShare } from '../format.ts';
import { useLoad, useQuery, useWidth } from '../hooks.ts';
import { Empty, Filters, Show, Table, VersionLink } from '../parts.tsx';
import type { Sharing } from '../wire.ts';
import type { ModelParts } from './model-view.tsx';

const limits = [10, 30, 100] as const;

/** What the versions take on the remote, and share there. */
export function StorageView({ model, versions }: ModelParts) {
  const [query, change] = useQuery();
  const limit = limits.find((one) => String(one) === query.get('last')) ?? 30;
  const sharing = useLoad<Sharing>(modelPath(model, '/sharing', { limit }));
  return (
    <section aria-labelledby="storage">
      <h2 id="storage">What versions share</h2>
      <p class="prose">
        Files are stored in chunks, and a chunk that several versions have is stored once. New is
        what no version before had; its own is what no other one needs.
      </p>
      {versions.versions.length > limits[0] && (
        <Filters>
          <label>
            Versions
            <select
              value={String(limit)}
              onChange={({ currentTarget }) => change({ last: currentTarget.value })}
            >
              {limits.map((one) => (
                <option key={one} value={one}>
                  The newest {one}
                </option>
              ))}
            </select>
          </label>
        </Filters>
      )}
      <Show of={sharing} what="the indexes of the remote">
        {(found) =>
          found.versions.length === 0 ? (
            <Empty title="No version is in use" />
          ) : (
            <Shared model={model} sharing={found} />
          )
        }
      </Show>
    </section>
  );
}

function Shared({ model, sharing }: { readonly model: string; readonly sharing: Sharing }) {
  const { versions, older, size, stored } = sharing;
  const newest = versions.toReversed();
  const most = Math.max(...versions.map((one) => Math.max(one.size, one.stored)));
  const absent = versions.reduce((sum, one) => sum + one.absent, 0);
  return (
    <>
      <dl class="numbers">
        <div>
          <dt>{count(versions.length, 'version')}, all files</dt>
          <dd>{formatBytes(size)}</dd>
        </div>
        <div>
          <dt>Stored on the remote</dt>
          <dd>{formatBytes(stored)}</dd>
        </div>
        <div>
          <dt>Saved by sharing and compression</dt>
          <dd>
            {formatBytes(Math.max(0, size - stored))}{' '}
            <span class="quiet">{formatShare(size - stored, size)}</span>
          </dd>
        </div>
      </dl>
      <Legend />
      <Table
        caption="What each version takes, the newest first"
        head={<SharedHead />}
        class="storage"
      >
        {newest.map((one) => (
          <tr key={one.version}>
            <th scope="row">
              <VersionLink model={model} version={one.version} />
            </th>
            <td class="bar-cell">
              <Bar size={one.size} stored={one.stored} added={one.added} most={most} />
            </td>
            <td class="number">{formatBytes(one.size)}</td>
            <td class="number">{formatBytes(one.stored)}</td>
            <td class="number">{formatBytes(one.added)}</td>
            <td class="number">{formatBytes(one.own)}</td>
          </tr>
        ))}
      </Table>
      {older > 0 && <p class="quiet">{count(older, 'older version')} left out.</p>}
      {absent > 0 && (
        <p class="problem">
          {count(absent, 'file')} of these versions {absent === 1 ? 'is' : 'are'} not whole on the
          remote: run “mstore verify --remote” there.
        </p>
      )}
    </>
  );
}

function SharedHead() {
  return (
    <tr>
      <th scope="col">Version</th>
      <td>
        <span class="unseen">Drawn</span>
      </td>
      <th scope="col" class="number">
        Files
      </th>
      <th scope="col" class="number">
        Stored
      </th>
      <th scope="col" class="number">
        New
      </th>
      <th scope="col" class="number">
        Its own
      </th>
    </tr>
  );
}

function Legend() {
  return (
    <p class="legend" aria-hidden="true">
      <span>
        <span class="key added" /> new
      </span>
      <span>
        <span class="key shared" /> shared with an older one
      </span>
      <span>
        <span class="key saved" /> not stored at all
      </span>
    </p>
  );
}

interface BarProps {
  readonly size: number;
  readonly stored: number;
  readonly added: number;
  readonly most: number;
}

function Bar({ size, stored, added, most }: BarProps) {
  const [frame, width] = useWidth<HTMLDivElement>();
  const part = (bytes: number): number => (most === 0 ? 0 : (width * bytes) / most);
  return (
    <div ref={frame} class="bar">
      <svg width={width} height={14} aria-hidden="true">
        <rect class="saved" x={0} width={part(size)} height={14} />
        <rect class="shared" x={0} width={part(stored)} height={14} />
        <rect class="added" x={0} width={part(added)} height={14} />
      </svg>
    </div>
  );
}
