import { count } from '../format.ts';
import { useLoad, useQuery } from '../hooks.ts';
import {
  CommandLine,
  Empty,
  Filters,
  LiveBadge,
  Moment,
  SearchField,
  Show,
  Table,
  VersionLink,
} from '../parts.tsx';
import { linkToModel } from '../route.ts';
import type { ModelSummary, ModelsAnswer } from '../wire.ts';

/** All models, and what is live where. */
export function ModelsView() {
  const models = useLoad<ModelsAnswer>('ml-models');
  return (
    <Show of={models} what="the models">
      {({ models: all }) => (all.length === 0 ? <NoModels /> : <ModelTable models={all} />)}
    </Show>
  );
}

function NoModels() {
  return (
    <Empty title="There is no model yet that you may see">
      <p>Register a version of one and push it here:</p>
      <CommandLine text="mstore register MODEL@v1.0.0 PATH" />
      <CommandLine text={`mstore push --remote ${location.origin}`} />
    </Empty>
  );
}

function ModelTable({ models }: { readonly models: readonly ModelSummary[] }) {
  const [query, change] = useQuery();
  const text = query.get('q') ?? '';
  const wanted = text.trim().toLowerCase();
  const shown = models.filter(({ model, live }) =>
    [model, ...live.map(({ environment }) => environment)].some((name) => name.includes(wanted)),
  );
  return (
    <>
      <Filters>
        <SearchField
          text={text}
          placeholder="Name of a model or an environment"
          onText={(q) => change({ q })}
        />
        <p role="status" class="quiet">
          {shown.length === models.length
            ? count(models.length, 'model')
            : `${shown.length} of ${count(models.length, 'model')}`}
        </p>
      </Filters>
      {shown.length === 0 ? (
        <Empty title={`No model is called like ${text}`} />
      ) : (
        <Table caption="Models, with what is live where" head={<ModelHead />} class="models">
          {shown.map((one) => (
            <ModelRow key={one.model} of={one} />
          ))}
        </Table>
      )}
    </>
  );
}

function ModelHead() {
  return (
    <tr>
      <th scope="col">Model</th>
      <th scope="col">Live</th>
      <th scope="col">Latest</th>
      <th scope="col" class="number">
        Versions
      </th>
      <th scope="col">Changed</th>
    </tr>
  );
}

function ModelRow({ of }: { readonly of: ModelSummary }) {
  const { model, live, latest, versions, changed } = of;
  return (
    <tr>
      <th scope="row">
        <a class="name" href={linkToModel(model)}>
          {model}
        </a>
      </th>
      <td>
        {live.length === 0 && <span class="quiet">nothing</span>}
        <ul class="inline">
          {live.map(({ environment, version }) => (
            <li key={environment}>
              <LiveBadge environment={environment} />{' '}
              <VersionLink model={model} version={version} />
            </li>
          ))}
        </ul>
      </td>
      <td>
        {latest === null ? (
          <span class="quiet">none in use</span>
        ) : (
          <VersionLink model={model} version={latest} />
        )}
      </td>
      <td class="number">{versions.toLocaleString('en')}</td>
      <td>
        <Moment at={changed} />
      </td>
    </tr>
  );
}
