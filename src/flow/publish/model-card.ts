import { MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts';
import { printable } from '../../base/names.ts';
import type { Edition } from '../../publish/publication.ts';
import { parseYaml } from '../../registry/data-file.ts';
import type { VersionRecord } from '../../registry/record.ts';
import { licenseFields } from './licenses.ts';

/** What stands for a section of a card in a template. */
const cardSections = [
  'model',
  'version',
  'description',
  'metrics',
  'changelog',
  'labels',
  'lineage',
  'files',
] as const;

type CardSection = (typeof cardSections)[number];

/** The template of cards that a team has not replaced. */
const defaultTemplate = `# {{model}} {{version}}

{{description}}

## Metrics

{{metrics}}

## Changes

{{changelog}}

## Labels

{{labels}}

## Where it comes from

{{lineage}}

## Files

{{files}}
`;

/** Begins the last line of a card, by which mstore knows its own. */
const signature = '<!-- Written by mstore publish';

/** Tells whether a model card was written by mstore, so that it may be replaced. */
export function isOwnCard(text: string): boolean {
  return text.includes(signature);
}

/** Fields of the front matter that are taken from the metadata of a version as they are, if they have the right form. */
const plainFields = ['library_name', 'pipeline_tag', 'license_name', 'license_link'];
const listFields = ['language', 'tags', 'datasets', 'base_model'];

/**
 * Writes the model card of a version for the Hugging Face Hub: front matter in YAML, then Markdown from a template. Sections
 * that come out empty are left out with their headings.
 * @param template Markdown with `{{SECTION}}`, and front matter of its own, which wins
 * @throws MstoreError `bad-metadata` when the template cannot be used
 */
export async function modelCard(
  { record, files }: Edition,
  template: { readonly name: string; readonly text: string } | undefined,
): Promise<Buffer> {
  const { name = 'the template', text = defaultTemplate } = template ?? {};
  const fail = (problem: string, hint: string): MstoreError =>
    new MstoreError('bad-metadata', `${printable(name)} ${problem}`, { hint });
  const { fields, body } = await splitFrontMatter(text, fail);
  const { value, sha256 } = record;
  const sections = sectionsOf(value, files);
  const markdown = filled(body, sections, fail);
  const matter = { ...frontMatter(value), ...fields };
  const { formatYaml } = await import('../../registry/yaml-parser.ts');
  const head = Object.keys(matter).length === 0 ? '' : `---\n${formatYaml(matter)}---\n\n`;
  const end = `${signature}: ${value.model}@${value.version}, sha256:${sha256} -->\n`;
  return Buffer.from(`${head}${markdown.trim()}\n\n${end}`);
}

type Fail = (problem: string, hint: string) => MstoreError;

async function splitFrontMatter(
  text: string,
  fail: Fail,
): Promise<{ readonly fields: JsonObject; readonly body: string }> {
  const plain = text.replaceAll('\r\n', '\n');
  const match = /^---\n(.*?)^---\n/ms.exec(plain);
  if (match === null) return { fields: {}, body: plain };
  const fields = (await parseYaml(match[1] ?? '', fail)) ?? {};
  if (!isJsonObject(fields)) {
    throw fail(
      'has front matter that maps no names to values',
      'Write NAME: VALUE between the ---',
    );
  }
  return { fields, body: plain.slice(match[0].length) };
}

/** Puts sections into a template. A heading above nothing but an empty section goes with it. */
function filled(body: string, sections: Readonly<Record<CardSection, string>>, fail: Fail): string {
  const unknown = [...body.matchAll(/\{\{\s*([^{}]*?)\s*\}\}/g)].find(
    ([, name = '']) => !Object.hasOwn(sections, name),
  );
  if (unknown !== undefined) {
    throw fail(
      `has {{${printable(unknown[1] ?? '')}}}, which stands for nothing`,
      `Write one of ${cardSections.map((one) => `{{${one}}}`).join(', ')}`,
    );
  }
  const whole = body.replaceAll(/\{\{\s*([^{}]*?)\s*\}\}/g, (_, name: CardSection) => {
    return sections[name] === '' ? emptyMark : sections[name];
  });
  return withoutEmpty(whole);
}

/** Leaves out empty sections, and headings that had nothing but those before the next of their level. */
function withoutEmpty(whole: string): string {
  const parts = whole.split(/^(?=#+ )/m);
  const level = (part: string | undefined): number => /^#+(?= )/.exec(part ?? '')?.[0].length ?? 0;
  const kept = parts.filter((part, i) => {
    const own = level(part);
    const text = part.slice(part.indexOf('\n') + 1);
    const isEmpty = text.includes(emptyMark) && text.replaceAll(emptyMark, '').trim() === '';
    return own === 0 || !isEmpty || level(parts[i + 1]) > own;
  });
  return kept
    .join('')
    .replaceAll(new RegExp(`^${emptyMark}[ \\t]*\\n*`, 'gm'), '')
    .replaceAll(emptyMark, '');
}

/** Stands for an empty section until headings have been looked at; no text of a record holds it. */
const emptyMark = '\u0000';

function sectionsOf(
  record: VersionRecord,
  files: Edition['files'],
): Readonly<Record<CardSection, string>> {
  const { model, version, description = '', metrics, changelog = [], labels = {} } = record;
  return {
    model,
    version,
    description: cleaned(description),
    metrics: table(
      ['metric', 'value'],
      Object.entries(metrics).map(([name, value]) => [name, String(value)]),
    ),
    changelog: list(changelog),
    labels: list(Object.entries(labels).map(([name, value]) => `${name}: ${value}`)),
    lineage: list(lineageOf(record)),
    files: table(
      ['file', 'size', 'SHA-256'],
      files.map(({ path, size, sha256 }) => [path, formatBytes(size), `\`${sha256}\``]),
    ),
  };
}

function lineageOf({ source = {}, created, author }: VersionRecord): string[] {
  const { git, imported } = source;
  // Addresses are not for whoever reads the card.
  const who = author.replace(/\s*<[^>]*>$/, '');
  const lines = [`Registered ${created}${who === '' ? '' : ` by ${who}`}`];
  if (git?.commit !== undefined) {
    const dirty = git.dirty ? ', with changes that were not committed' : '';
    const where = git.remote === undefined ? '' : ` of ${git.remote}`;
    lines.push(`Git commit \`${git.commit}\`${where}${dirty}`);
  }
  const from = isJsonObject(imported) ? imported['from'] : undefined;
  if (typeof from === 'string') lines.push(`Imported from ${from}`);
  return lines;
}

function cleaned(text: string): string {
  return text.replaceAll('\u0000', '').trim();
}

function cell(text: string): string {
  return cleaned(text)
    .replaceAll(/\s*\n\s*/g, ' ')
    .replaceAll('|', '\\|');
}

function list(items: readonly string[]): string {
  return items.map((item) => `- ${cleaned(item).replaceAll(/\s*\n\s*/g, ' ')}`).join('\n');
}

function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  if (rows.length === 0) return '';
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** The fields that the Hub knows, as far as the record tells them. */
function frontMatter(record: VersionRecord): Record<string, JsonValue> {
  const { metadata = {}, labels = {} } = record;
  const given = (name: string): JsonValue | undefined => metadata[name] ?? labels[name];
  const fields: Record<string, JsonValue> = licenseFields(given('license'));
  for (const name of plainFields) {
    const value = given(name);
    if (typeof value === 'string' && value !== '') fields[name] = value;
  }
  for (const name of listFields) {
    const values = textsIn(given(name));
    if (values.length > 0) fields[name] = values;
  }
  const base = baseModel(record);
  if (base !== undefined) fields['base_model'] ??= [base];
  const index = modelIndex(record, fields);
  if (index !== undefined) fields['model-index'] = index;
  return fields;
}

function textsIn(value: JsonValue | undefined): string[] {
  const values = Array.isArray(value) ? value : typeof value === 'string' ? value.split(',') : [];
  const texts = values.filter((one) => typeof one === 'string').map((one) => one.trim());
  return [...new Set(texts.filter((one) => one !== ''))];
}

/** A model of the Hub that this one was imported from. */
function baseModel({ source }: VersionRecord): string | undefined {
  const imported = source?.['imported'];
  if (!isJsonObject(imported) || imported['kind'] !== 'hf') return undefined;
  const { repository } = imported;
  return typeof repository === 'string' ? repository : undefined;
}

/** Metrics in the form by which the Hub shows them, which says of what task and data set they are. */
function modelIndex(
  { model, metrics }: VersionRecord,
  { pipeline_tag: task, datasets }: Record<string, JsonValue>,
): JsonValue | undefined {
  const [dataset] = Array.isArray(datasets) ? datasets : [];
  const values = Object.entries(metrics);
  if (typeof task !== 'string' || typeof dataset !== 'string' || values.length === 0) {
    return undefined;
  }
  const results = {
    task: { type: task },
    dataset: { type: dataset, name: dataset },
    metrics: values.map(([name, value]) => ({ type: name, name, value })),
  };
  return [{ name: model, results: [results] }];
}
