import { useState } from 'preact/hooks';
import { modelPath } from '../api.ts';
import { count, formatBytes } from '../format.ts';
import { useLoad } from '../hooks.ts';
import { pageOf } from '../listing.ts';
import { CommandLine, Empty, Filters, Pager, SearchField, Show, Table } from '../parts.tsx';
import type { FilesAnswer } from '../wire.ts';

/** The files of a version with their sizes, and how one gets them. */
export function FileList(props: { readonly model: string; readonly version: string }) {
  const { model, version } = props;
  const files = useLoad<FilesAnswer>(modelPath(model, `/${encodeURIComponent(version)}/files`));
  const url = `${location.origin}${location.pathname.replace(/\/$/, '')}`;
  return (
    <section aria-labelledby="files">
      <h2 id="files">Files</h2>
      <Show of={files} what="the files">
        {(found) => <Files files={found.files} />}
      </Show>
      <p>Get all of them, each byte verified:</p>
      <CommandLine text={`mstore pull ${model}@${version} --to ${model} --remote ${url}`} />
    </section>
  );
}

function Files({ files }: FilesAnswer) {
  const [text, setText] = useState('');
  const [number, setNumber] = useState(1);
  if (files.length === 0) return <Empty title="This version has no files" />;
  const wanted = text.trim().toLowerCase();
  const found = files.filter(({ path }) => path.toLowerCase().includes(wanted));
  const page = pageOf(found, number);
  const bytes = found.reduce((sum, { size }) => sum + size, 0);
  const head = (
    <tr>
      <th scope="col">Path</th>
      <th scope="col" class="number">
        Size
      </th>
      <th scope="col">SHA-256</th>
    </tr>
  );
  return (
    <>
      <Filters>
        {files.length > 10 && (
          <SearchField
            text={text}
            placeholder="Part of a path"
            onText={(wanted) => {
              setText(wanted);
              setNumber(1);
            }}
          />
        )}
        <p role="status" class="quiet">
          {count(found.length, 'file')}, {formatBytes(bytes)}
        </p>
      </Filters>
      <Table caption="Files of this version" head={head} class="files">
        {page.items.map(({ path, size, sha256 }) => (
          <tr key={path}>
            <th scope="row">
              <code>{path}</code>
            </th>
            <td class="number" title={count(size, 'byte')}>
              {formatBytes(size)}
            </td>
            <td>
              <code class="digest" title={sha256}>
                {sha256.slice(0, 16)}…
              </code>
            </td>
          </tr>
        ))}
      </Table>
      <Pager of={page} what="files" onPage={setNumber} />
    </>
  );
}
