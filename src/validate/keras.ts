import { isJsonObject } from '../base/json.ts';
import type { ByteReader } from '../weights/byte-reader.ts';
import { member, readJson, textAt } from '../weights/json-text.ts';
import { checkHdf5, looksLikeHdf5 } from './hdf5.ts';
import { judgeImport } from './pickle-policy.ts';
import { quoted, type Report } from './report.ts';
import { BudgetSpent } from './source.ts';
import { checkMembers } from './torch.ts';
import type { ZipMember } from './zip.ts';

const configBytesMax = 64 * 1024 * 1024;
/** Packages whose classes Keras may load. */
const ownModule = /^(?:keras|keras_hub|keras_cv|keras_nlp|tf_keras|builtins)(?:\.|$)/;
/** Functions of Keras that load files or unlock code. Source: CVE-2025-8747, CVE-2025-9906. */
const unsafeNames = new Set([
  'get_file',
  'enable_unsafe_deserialization',
  'load_model',
  'model_from_json',
  'deserialize_keras_object',
]);
const codeClasses = new Set([
  'Lambda',
  '__lambda__',
  'TorchModuleWrapper',
  'JaxLayer',
  'FlaxLayer',
  'TFSMLayer',
]);

/** Tells whether the members of an archive are those of Keras 3. */
export function isKerasArchive(members: readonly ZipMember[]): boolean {
  const names = new Set(members.map(({ name }) => name));
  return names.has('config.json') && (names.has('metadata.json') || names.has('model.weights.h5'));
}

/** Checks an archive of Keras 3. Source: keras/src/saving/saving_lib.py. */
export function checkKerasArchive(members: readonly ZipMember[], report: Report): void {
  const byName = new Map(members.map((one) => [one.name, one]));
  for (const name of ['config.json', 'model.weights.h5'])
    if (!byName.has(name)) report.add('keras-layout', `It has no ${name}`);
  const config = readMember(byName.get('config.json'), report);
  if (config !== undefined) checkKerasConfig(config, report);
  const metadata = readMember(byName.get('metadata.json'), report);
  const version = textAt(metadata, 'keras_version');
  if (version !== undefined) report.summary.producer = `keras ${version}`;
  checkWeights(byName.get('model.weights.h5')?.open(), report);
  const known = new Set(['config.json', 'metadata.json', 'model.weights.h5']);
  checkMembers(
    members.filter(({ name }) => !known.has(name)),
    report,
    false,
  );
}

function checkWeights(weights: ByteReader | undefined, report: Report): void {
  if (weights === undefined) return;
  const where = 'member "model.weights.h5"';
  try {
    if (looksLikeHdf5(weights)) checkHdf5(weights, report);
    else report.add('keras-layout', 'It is no HDF5', where);
  } catch (error) {
    if (!(error instanceof BudgetSpent)) throw error;
    report.add('not-read-to-end', 'It unfolds to more than is looked into', where);
  }
}

function readMember(found: ZipMember | undefined, report: Report): unknown {
  const content = found?.open();
  if (found === undefined || content === undefined) return undefined;
  const where = `member ${quoted(found.name)}`;
  if (content.size > configBytesMax) {
    report.add('keras-config', `It has ${content.size} bytes, and is not looked into`, where);
    return undefined;
  }
  const { value, problem, duplicate } = readJson(content.read(0, content.size));
  if (duplicate !== undefined)
    report.add('json-duplicate', `The key ${quoted(duplicate)} stands twice`, where);
  if (isJsonObject(value)) return value;
  report.add('keras-config', `It is no JSON object: ${problem ?? 'another value'}`, where);
  return undefined;
}

/** Looks through a configuration of Keras for what holds or loads code. */
export function checkKerasConfig(value: unknown, report: Report, path = ''): void {
  if (Array.isArray(value)) {
    for (const [i, inner] of value.entries()) checkKerasConfig(inner, report, `${path}[${i}]`);
    return;
  }
  if (!isJsonObject(value)) return;
  checkObject(value, report, path);
  for (const [key, inner] of Object.entries(value))
    if (typeof inner === 'object')
      checkKerasConfig(inner, report, path === '' ? key : `${path}.${key}`);
}

function checkObject(value: object, report: Report, path: string): void {
  const className = textAt(value, 'class_name');
  if (className === undefined) return;
  const where = `config ${quoted(path)}`;
  if (codeClasses.has(className))
    report.add('keras-lambda', `The class ${quoted(className)} holds or loads code`, where);
  const config = member(value, 'config');
  const names = [
    textAt(value, 'registered_name'),
    typeof config === 'string' ? config : textAt(config, 'name'),
    className,
  ];
  const unsafe = names.find(
    (name) => name !== undefined && unsafeNames.has(name.split(/[.>]/).at(-1) ?? ''),
  );
  if (unsafe !== undefined)
    report.add(
      'keras-unsafe',
      `It names ${quoted(unsafe)}, which loads files or unlocks code`,
      where,
    );
  const module = textAt(value, 'module');
  if (module !== undefined && !ownModule.test(module))
    report.add('keras-module', `The class ${quoted(className)} is of ${quoted(module)}`, where);
  // Versions before 3.9 take any name of a module: also those that run code.
  const functions = [typeof config === 'string' ? config : undefined, className];
  const reached = functions.find(
    (name) => name !== undefined && judgeImport(module ?? 'builtins', name) === 'denied',
  );
  if (reached !== undefined)
    report.add(
      'keras-module',
      `It reaches ${quoted(reached)} of ${quoted(module ?? 'builtins')}`,
      where,
    );
}
