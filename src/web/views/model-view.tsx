import type { ComponentChildren } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { modelPath } from '../api.ts';
import { useLoad, useMayMove } from '../hooks.ts';
import { MoveDialog } from '../move-dialog.tsx';
import type { MoveAsked } from '../moving.ts';
import { Show } from '../parts.tsx';
import { capital, linkToModel, type ModelTab, modelTabs } from '../route.ts';
import type { EnvironmentsAnswer, VersionsAnswer } from '../wire.ts';
import { CompareView } from './compare-view.tsx';
import { HistoryView } from './history-view.tsx';
import { MetricsView } from './metrics-view.tsx';
import { OverviewView } from './overview-view.tsx';
import { StorageView } from './storage-view.tsx';
import { VersionsView } from './versions-view.tsx';

/** What the views of a model are handed. */
export interface ModelParts {
  readonly model: string;
  readonly versions: VersionsAnswer;
  readonly environments: EnvironmentsAnswer;
  /** Opens the dialog that moves an environment; undefined where the token does not allow it. */
  readonly onMove: ((asked: MoveAsked) => void) | undefined;
}

const views = {
  overview: OverviewView,
  versions: VersionsView,
  metrics: MetricsView,
  history: HistoryView,
  storage: StorageView,
  compare: CompareView,
} as const;

/** One model: one of its views below the links to all of them. */
export function ModelView({ model, tab }: { readonly model: string; readonly tab: ModelTab }) {
  return (
    <>
      <nav class="tabs" aria-label={`Parts of ${model}`}>
        <ul ref={showChosen}>
          {modelTabs.map((one) => (
            <li key={one}>
              <a href={linkToModel(model, one)} aria-current={one === tab ? 'page' : undefined}>
                {capital(one)}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <ModelContents model={model}>{(parts) => <TabOf tab={tab} parts={parts} />}</ModelContents>
    </>
  );
}

/** Where the links do not fit, the one that was chosen is to be seen. */
function showChosen(list: HTMLUListElement | null): void {
  const chosen = list?.querySelector<HTMLElement>('[aria-current]');
  const frame = list?.parentElement;
  if (chosen && frame && chosen.offsetLeft + chosen.offsetWidth > frame.clientWidth) {
    frame.scrollLeft = chosen.offsetLeft - 40;
  }
}

function TabOf({ tab, parts }: { readonly tab: ModelTab; readonly parts: ModelParts }) {
  const View = views[tab];
  return <View {...parts} />;
}

/** Asks for what all views of a model need, and keeps the dialog that moves its environments. */
export function ModelContents(props: {
  readonly model: string;
  readonly children: (parts: ModelParts) => ComponentChildren;
}) {
  const { model } = props;
  const versions = useLoad<VersionsAnswer>(modelPath(model, '/versions', { all: 'true' }));
  const environments = useLoad<EnvironmentsAnswer>(modelPath(model, '/environments'));
  const mayMove = useMayMove(model);
  // Each time it is opened it is another one, whose end ends no later one.
  const [open, setOpen] = useState<{ readonly asked: MoveAsked; readonly number: number }>();
  const opened = useRef(0);
  const close = (number: number) => setOpen((now) => (now?.number === number ? undefined : now));
  return (
    <Show of={versions} what={`the versions of ${model}`}>
      {(list) => (
        <Show of={environments} what={`the environments of ${model}`}>
          {(places) => {
            const move = (asked: MoveAsked): void => setOpen({ asked, number: ++opened.current });
            const onMove = mayMove ? move : undefined;
            const parts = { model, versions: list, environments: places, onMove };
            return (
              <>
                {props.children(parts)}
                {open !== undefined && (
                  <MoveDialog
                    key={open.number}
                    {...parts}
                    asked={open.asked}
                    onClose={() => close(open.number)}
                  />
                )}
              </>
            );
          }}
        </Show>
      )}
    </Show>
  );
}
