import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { VersionRecord } from '../../registry/record.ts';

const stages = ['None', 'Staging', 'Production', 'Archived'] as const;
/** Characters of the name of an experiment. */
const experimentLengthMax = 250;

/**
 * Makes the name of an experiment from a template. `{date}` is the day on which the version was registered, in UTC; other
 * names are of labels, and of texts in the metadata.
 * @throws MstoreError `usage` when the template names what the version does not have
 */
export function experimentName(template: string, record: VersionRecord): string {
  const { model, version, created, labels = {}, metadata = {} } = record;
  const known: Record<string, unknown> = {
    ...metadata,
    ...labels,
    model,
    version,
    date: created.slice(0, 10),
  };
  const name = template.replaceAll(/\{([^{}]*)\}/g, (_, field: string) => {
    const value = Object.hasOwn(known, field) ? known[field] : undefined;
    if (typeof value === 'string' && value !== '') return value;
    throw new MstoreError(
      'usage',
      `The name of the experiment asks for {${printable(field)}}, which ${model}@${version} does not have`,
      {
        hint: `Register versions with it (--label ${printable(field)}=VALUE), or change publish.experiment or --experiment; {date}, {model} and {version} are always there`,
        details: { model, version, field },
      },
    );
  });
  const fits = /^[^\s/\\\p{Cc}{}][^/\\\p{Cc}{}]*$/u.test(name) && !/\s$/.test(name);
  if (fits && name.length <= experimentLengthMax) return name;
  throw new MstoreError('usage', `An experiment cannot be named ${printable(name)}`, {
    hint: `Use up to ${experimentLengthMax} characters without "/", "\\", "{" and "}"`,
  });
}

/** Checks an alias by the rules of MLflow. */
export function aliasName(alias: string): string {
  const fits = /^[A-Za-z0-9_-]{1,255}$/.test(alias);
  if (fits && alias.toLowerCase() !== 'latest' && !/^v\d+$/i.test(alias)) return alias;
  throw new MstoreError('usage', `MLflow has no alias of the form ${printable(alias)}`, {
    hint: 'Use letters, digits, "_" and "-"; latest and v1, v2, … are taken by MLflow itself',
  });
}

/** Finds a stage, whatever its letters are like. */
export function stageName(text: string): string {
  const stage = stages.find((one) => one.toLowerCase() === text.toLowerCase());
  if (stage !== undefined) return stage;
  throw new MstoreError('usage', `MLflow has no stage ${printable(text)}`, {
    hint: `Name one of ${stages.join(', ')}`,
  });
}
