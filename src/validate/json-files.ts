import { isJsonObject } from '../base/json.ts';
import type { ByteReader } from '../weights/byte-reader.ts';
import { member, objectAt, readJson, textAt } from '../weights/json-text.ts';
import { checkKerasConfig } from './keras.ts';
import { quoted, type Report } from './report.ts';
import { checkShards, isShardIndex } from './shards.ts';
import type { Neighbours } from './source.ts';
import { checkTfjs, isTfjs } from './tfjs.ts';

const jsonBytesMax = 128 * 1024 * 1024;
const labelsBytesMax = 64 * 1024 * 1024;

/** What a JSON file turned out to be. */
type JsonFormat = 'json' | 'config' | 'tokenizer' | 'shard-index' | 'tfjs';

/**
 * Checks a JSON file by what it holds: a configuration or a tokenizer as those of transformers, an index of
 * shards, a model of TensorFlow.js; any other has to be JSON and no more.
 * @param around absent where the files beside it are not known
 */
export function checkJsonFile(
  file: ByteReader,
  around: Neighbours | undefined,
  report: Report,
): JsonFormat {
  if (file.size > jsonBytesMax) {
    report.add('not-read-to-end', `The file has ${file.size} bytes; ${jsonBytesMax} are parsed`);
    return 'json';
  }
  const { value, problem, duplicate, isTooLarge } = readJson(file.read(0, file.size));
  if (problem !== undefined) {
    report.add(isTooLarge ? 'not-read-to-end' : 'json-syntax', `It cannot be parsed: ${problem}`);
    return 'json';
  }
  if (duplicate !== undefined)
    report.add('json-duplicate', `The key ${quoted(duplicate)} stands twice in an object`);
  if (isKerasModel(value)) checkKerasConfig(value, report);
  if (isTfjs(value)) {
    checkTfjs(value, around, report);
    return 'tfjs';
  }
  if (isShardIndex(value)) {
    checkShards(value, around, report);
    return 'shard-index';
  }
  checkAutoMap(value, report);
  if (member(value, 'chat_template') !== undefined)
    report.add('chat-template', 'The file has a chat template', 'key "chat_template"');
  if (isTokenizer(value)) {
    checkTokenizer(value, report);
    return 'tokenizer';
  }
  return checkConfig(value, report) ? 'config' : 'json';
}

function checkAutoMap(value: unknown, report: Report): void {
  const map = member(value, 'auto_map');
  if (map === undefined) return;
  const names = isJsonObject(map) ? Object.values(map).flat() : [map];
  const shown = names.filter((name) => typeof name === 'string').slice(0, 5);
  report.add(
    'config-auto-map',
    `Loading with trust_remote_code runs ${shown.map((name) => quoted(name)).join(', ')}`,
    'key "auto_map"',
  );
}

function checkConfig(value: unknown, report: Report): boolean {
  const architecture = member(value, 'architectures');
  const type = textAt(value, 'model_type');
  const labels = objectAt(value, 'id2label');
  const [first] = Array.isArray(architecture) ? architecture : [];
  const name = typeof first === 'string' ? first : type;
  if (name !== undefined) report.summary.architecture = name;
  if (labels !== undefined) checkLabelMaps(labels, objectAt(value, 'label2id'), report);
  return name !== undefined || labels !== undefined;
}

function checkLabelMaps(
  labels: Readonly<Record<string, unknown>>,
  back: Readonly<Record<string, unknown>> | undefined,
  report: Report,
): void {
  const names = Object.entries(labels);
  report.summary.labels = names.length;
  const where = 'key "id2label"';
  for (let i = 0; i < names.length; i++) {
    const name = Object.hasOwn(labels, String(i)) ? labels[String(i)] : undefined;
    if (typeof name !== 'string') {
      report.add('config-labels', `It has ${names.length} entries, and no text for ${i}`, where);
      return;
    }
  }
  if (back === undefined) return;
  const differing = names.find(([id, name]) => {
    const told = Object.hasOwn(back, String(name)) ? back[String(name)] : undefined;
    return Number(told) !== Number(id);
  });
  // Several numbers may stand for one label, of which label2id can name but one.
  const distinct = new Set(names.map(([, name]) => name)).size === names.length;
  if (differing === undefined || !distinct) return;
  const message = `label2id does not give ${differing[0]} for ${quoted(String(differing[1]))}`;
  report.add('config-labels', message, 'key "label2id"');
}

/** Tells whether a JSON value is the architecture of a model of Keras, as `to_json` writes it. */
function isKerasModel(value: unknown): boolean {
  return textAt(value, 'class_name') !== undefined && objectAt(value, 'config') !== undefined;
}

/** Tells whether a JSON value is a `tokenizer.json`. */
function isTokenizer(value: unknown): boolean {
  return (
    isJsonObject(value) && Object.hasOwn(value, 'added_tokens') && Object.hasOwn(value, 'version')
  );
}

function checkTokenizer(value: unknown, report: Report): void {
  const model = objectAt(value, 'model');
  if (model === undefined) {
    report.add('tokenizer-form', 'It has no model', 'key "model"');
    return;
  }
  report.summary.architecture = textAt(model, 'type') ?? 'unknown';
  const vocabulary = member(model, 'vocab');
  const tokens = new Map<number, string>();
  const note = (id: unknown, token: string): void => {
    if (typeof id !== 'number') return;
    const other = tokens.get(id);
    if (other !== undefined && other !== token)
      report.add(
        'tokenizer-ids',
        `${quoted(other)} and ${quoted(token)} have the same id`,
        `id ${id}`,
      );
    tokens.set(id, token);
  };
  if (isJsonObject(vocabulary))
    for (const [token, id] of Object.entries(vocabulary)) note(id, token);
  else if (!Array.isArray(vocabulary))
    report.add('tokenizer-form', 'Its model has no vocabulary', 'key "model.vocab"');
  const added = member(value, 'added_tokens');
  if (isJsonObject(vocabulary) && Array.isArray(added))
    for (const one of added) note(member(one, 'id'), textAt(one, 'content') ?? '');
}

/** Checks a file of labels: one a line. */
export function checkLabels(file: ByteReader, report: Report): void {
  if (file.size > labelsBytesMax) {
    report.add(
      'not-read-to-end',
      `The file has ${file.size} bytes; ${labelsBytesMax} are looked at`,
    );
    return;
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(file.read(0, file.size));
  } catch {
    report.add('labels-text', 'It is not UTF-8');
    return;
  }
  if (text.includes('\0'))
    report.add('labels-text', 'It holds a NUL', `byte ${text.indexOf('\0')}`);
  const lines = text.replace(/\r?\n$/, '').split(/\r?\n/);
  const isNone = text.trim() === '';
  report.summary.labels = isNone ? 0 : lines.length;
  if (isNone) report.add('labels-empty', 'It has no labels');
  const seen = new Map<string, number>();
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '' && !isNone)
      report.add('labels-empty', 'A line is empty', `line ${i + 1}`);
    const before = seen.get(line);
    if (before !== undefined && line.trim() !== '')
      report.add(
        'labels-duplicate',
        `${quoted(line)} stands in line ${before} too`,
        `line ${i + 1}`,
      );
    else seen.set(line, i + 1);
  }
}
