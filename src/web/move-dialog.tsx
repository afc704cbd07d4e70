import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { type ApiError, modelPath } from './api.ts';
import { useShell } from './hooks.ts';
import { MoveFields } from './move-fields.tsx';
import { bodyOf, type Draft, firstDraft, type MoveAsked, mayOverrule, pinned } from './moving.ts';
import { Problem } from './parts.tsx';
import { capital } from './route.ts';
import { GateLine } from './views/history-view.tsx';
import type { EnvironmentsAnswer, MoveResult, VersionsAnswer } from './wire.ts';

interface MoveDialogProps {
  readonly model: string;
  readonly versions: VersionsAnswer;
  readonly environments: EnvironmentsAnswer;
  readonly asked: MoveAsked;
  readonly onClose: () => void;
}

const overruling = 'Choose another version, or check the box above and say why';
const verbs = { deploy: 'Deploy', promote: 'Promote', rollback: 'Roll back' } as const;

/**
 * Moves an environment: says what is wanted, is told what would be done, and does that. What was confirmed is what is
 * done: where an environment was moved meanwhile, it is asked again.
 */
export function MoveDialog(props: MoveDialogProps) {
  const { model, asked, environments, onClose } = props;
  const { action } = asked;
  const id = useId();
  const dialog = useOpenDialog();
  const [draft, setDraft] = useState<Draft>(() => firstDraft(asked, environments));
  const move = useMove(props, draft);
  const { seen, error, notice, isBusy } = move;
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (isBusy) return;
    void (seen === undefined ? move.look() : move.confirm(seen));
  };
  const change = (changes: Partial<Draft>): void => setDraft((old) => ({ ...old, ...changes }));
  return (
    <dialog ref={dialog} class="move" aria-labelledby={id} onClose={onClose}>
      <form onSubmit={submit} aria-busy={isBusy}>
        <h2 id={id}>
          {verbs[action]} {model}
        </h2>
        {seen === undefined ? (
          <MoveFields
            {...props}
            draft={draft}
            onChange={change}
            isRefused={mayOverrule(action, error)}
          />
        ) : (
          <Preview of={seen} draft={draft} />
        )}
        {notice !== '' && (
          <p class="notice" role="alert">
            {notice}
          </p>
        )}
        {error !== undefined && (
          <Problem error={error} {...(mayOverrule(action, error) ? { hint: overruling } : {})} />
        )}
        <Buttons
          action={action}
          seen={seen}
          isBusy={isBusy}
          onBack={move.back}
          onCancel={() => dialog.current?.close()}
        />
      </form>
    </dialog>
  );
}

/** What was seen of a move, and the steps of it. */
function useMove({ model, asked: { action }, onClose }: MoveDialogProps, draft: Draft) {
  const { api, reload, say } = useShell();
  const [seen, setSeen] = useState<MoveResult>();
  const [error, setError] = useState<ApiError>();
  const [notice, setNotice] = useState('');
  const [isBusy, setBusy] = useState(false);

  const ask = (dryRun: boolean, from: Draft): Promise<MoveResult> =>
    api.post<MoveResult>(modelPath(model, `/${action}`), bodyOf(action, from, dryRun));
  const doing = async (work: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setNotice('');
    setError(undefined);
    try {
      await work();
    } catch (problem) {
      setError(problem as ApiError);
    } finally {
      setBusy(false);
    }
  };
  const look = () => doing(async () => setSeen(await ask(true, draft)));
  const confirm = (was: MoveResult) =>
    doing(async () => {
      const now = await ask(true, draft);
      if (now.version !== was.version || now.before !== was.before) {
        setSeen(now);
        setNotice(`${now.environment} was moved meanwhile. Look again at what would be done.`);
        return;
      }
      const { environment, version, before } = await ask(false, pinned(action, draft, was));
      const past = before === undefined ? '' : `; it was ${before}`;
      say(`${environment} of ${model} is now ${version}${past}.`);
      onClose();
      reload();
    });
  const back = (): void => {
    setSeen(undefined);
    setError(undefined);
    setNotice('');
  };
  return { seen, error, notice, isBusy, look, confirm, back };
}

/** Opens the dialog as one that keeps the focus in it; when it is closed the focus goes back. */
function useOpenDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  // Before another key can take the focus elsewhere.
  useLayoutEffect(() => {
    const opener = document.activeElement;
    const { current } = dialog;
    current?.showModal();
    return () => {
      // As long as it is open nothing else can have the focus.
      current?.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return dialog;
}

/** What would be done. */
function Preview({ of, draft }: { readonly of: MoveResult; readonly draft: Draft }) {
  const { environment, version, before, unchanged, gate, warnings } = of;
  const text = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => text.current?.focus(), []);
  return (
    <div ref={text} tabIndex={-1} class="preview">
      {unchanged ? (
        <p>
          <b>{version}</b> is live in <b>{environment}</b> already: nothing would be done.
        </p>
      ) : (
        <p>
          <b>{environment}</b> goes from <b>{before ?? 'nothing'}</b> to <b>{version}</b>.
        </p>
      )}
      {draft.reason.trim() !== '' && <blockquote>{draft.reason.trim()}</blockquote>}
      {gate !== undefined && <GateLine gate={gate} />}
      {warnings.map((warning) => (
        <p key={warning} class="notice">
          {capital(warning)}
        </p>
      ))}
      {!unchanged && <p class="quiet">Hosts that follow {environment} take it at once.</p>}
    </div>
  );
}

interface ButtonsProps {
  readonly action: MoveAsked['action'];
  readonly seen: MoveResult | undefined;
  readonly isBusy: boolean;
  readonly onBack: () => void;
  readonly onCancel: () => void;
}

function Buttons({ action, seen, isBusy, onBack, onCancel }: ButtonsProps) {
  const isDone = seen?.unchanged === true;
  return (
    <p class="actions">
      {!isDone && (
        <button type="submit" class="primary" aria-disabled={isBusy}>
          {isBusy
            ? 'Asking…'
            : seen === undefined
              ? 'See what would be done'
              : `${verbs[action]} now`}
        </button>
      )}
      {seen !== undefined && (
        <button type="button" disabled={isBusy} onClick={onBack}>
          Back
        </button>
      )}
      <button type="button" onClick={onCancel}>
        {isDone ? 'Close' : 'Cancel'}
      </button>
    </p>
  );
}
