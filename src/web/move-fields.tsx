import { useEffect, useId, useState } from 'preact/hooks';
import { modelPath } from './api.ts';
import { useLoad } from './hooks.ts';
import { type Draft, environmentNames, type MoveAsked } from './moving.ts';
import type { EnvironmentsAnswer, HistoryAnswer, VersionsAnswer } from './wire.ts';

interface FieldsProps {
  readonly model: string;
  readonly versions: VersionsAnswer;
  readonly environments: EnvironmentsAnswer;
  readonly asked: MoveAsked;
  readonly draft: Draft;
  readonly onChange: (changes: Partial<Draft>) => void;
  /** Whether a rule refused it that may be passed by force. */
  readonly isRefused: boolean;
}

/** What has to be said for a move. */
export function MoveFields(props: FieldsProps) {
  const { asked, draft, onChange, isRefused } = props;
  const [wasRefused, setRefused] = useState(false);
  useEffect(() => {
    if (isRefused) setRefused(true);
  }, [isRefused]);
  const mayForce = isRefused || wasRefused;
  return (
    <>
      {asked.action === 'deploy' && <DeployFields {...props} />}
      {asked.action === 'promote' && <PromoteFields {...props} />}
      {asked.action === 'rollback' && <RollbackFields {...props} />}
      <label>
        Reason{draft.force ? '' : ' (the history keeps it)'}
        <textarea
          rows={2}
          maxLength={2000}
          required={draft.force}
          value={draft.reason}
          onInput={({ currentTarget }) => onChange({ reason: currentTarget.value })}
        />
      </label>
      {mayForce && (
        <label class="check">
          <input
            type="checkbox"
            checked={draft.force}
            onChange={({ currentTarget }) => onChange({ force: currentTarget.checked })}
          />
          Do it against the rules; the history says so, with your reason
        </label>
      )}
    </>
  );
}

function DeployFields({ versions, environments, draft, onChange }: FieldsProps) {
  return (
    <>
      <label>
        Version
        <select
          required
          value={draft.version}
          onChange={({ currentTarget }) => onChange({ version: currentTarget.value })}
        >
          <option value="">Choose one</option>
          {versions.versions
            .filter(({ state }) => state !== 'deleted')
            .map(({ version, state, live }) => (
              <option key={version} value={version}>
                {[version, ...(state === 'active' ? [] : [state]), ...live].join(' · ')}
              </option>
            ))}
        </select>
      </label>
      <EnvironmentField
        label="Environment"
        names={environmentNames(environments)}
        draft={draft}
        onChange={onChange}
      />
    </>
  );
}

/** Where a version goes: one of the names that are known, or a new one. */
function EnvironmentField({
  label,
  names,
  draft,
  onChange,
}: Pick<FieldsProps, 'draft' | 'onChange'> & {
  readonly label: string;
  readonly names: readonly string[];
}) {
  const list = useId();
  return (
    <>
      <label>
        {label}
        <input
          required
          maxLength={128}
          list={list}
          value={draft.environment}
          placeholder="production"
          autocapitalize="none"
          spellcheck={false}
          onInput={({ currentTarget }) => onChange({ environment: currentTarget.value.trim() })}
        />
      </label>
      <datalist id={list}>
        {names.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </>
  );
}

function PromoteFields({ environments, draft, onChange }: FieldsProps) {
  return (
    <>
      <label>
        From
        <select
          required
          value={draft.from}
          onChange={({ currentTarget }) => onChange({ from: currentTarget.value })}
        >
          {environments.environments.map(({ environment, version }) => (
            <option key={environment} value={environment}>
              {environment} · {version}
            </option>
          ))}
        </select>
      </label>
      <EnvironmentField
        label="To"
        names={environmentNames(environments).filter((name) => name !== draft.from)}
        draft={draft}
        onChange={onChange}
      />
    </>
  );
}

function RollbackFields({ model, environments, draft, onChange }: FieldsProps) {
  const { environment } = draft;
  const history = useLoad<HistoryAnswer>(
    modelPath(model, '/history', { limit: 1000, environment }),
  );
  const live = environments.environments.find((one) => one.environment === environment)?.version;
  const past = (history.value?.entries ?? []).map(({ version }) => version);
  const others = [...new Set(past)].filter((version) => version !== live);
  return (
    <>
      <p>
        In <b>{environment}</b>, where <b>{live ?? 'nothing'}</b> is live.
      </p>
      <label>
        Back to
        <select
          value={draft.version}
          onChange={({ currentTarget }) => onChange({ version: currentTarget.value })}
        >
          <option value="">the version that was live before</option>
          {others.map((version) => (
            <option key={version} value={version}>
              {version}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}
