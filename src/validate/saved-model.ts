import type { ByteReader } from '../weights/byte-reader.ts';
import {
  lengthDelimited,
  type MessageKinds,
  TooManyFields,
  walkMessages,
} from '../weights/protobuf.ts';
import { NotThisFormat } from '../weights/window-reader.ts';
import { layerWithCode } from './hdf5.ts';
import { quoted, type Report } from './report.ts';
import type { Neighbours } from './source.ts';

type Kind = 'saved' | 'meta' | 'graph' | 'node' | 'library' | 'function';

/** Where nodes are found. Source: tensorflow/core/protobuf/saved_model.proto and those it imports. */
const kinds: MessageKinds<Kind> = {
  saved: { 2: 'meta' },
  meta: { 2: 'graph' },
  graph: { 1: 'node', 2: 'library' },
  library: { 1: 'function' },
  function: { 3: 'node' },
  node: {},
};

const opField = 2;
const nameBytesMax = 256;
/** Operators that reach beyond the graph. Source: the settings of protectai/modelscan. */
const fileOps = new Set([
  'ReadFile',
  'WriteFile',
  'MatchingFiles',
  'WholeFileReader',
  'WholeFileReaderV2',
]);
const pythonOps = new Set(['PyFunc', 'PyFuncStateless', 'EagerPyFunc']);
const metadataBytesMax = 4 * 1024 * 1024;

/**
 * Checks the graph of a SavedModel of TensorFlow, and the files that lie around it.
 * @param around absent where those are not known
 */
export function checkSavedModel(
  file: ByteReader,
  around: Neighbours | undefined,
  report: Report,
): void {
  let graphs = 0;
  let at = 0;
  const found = new Set<string>();
  try {
    walkMessages<Kind>(file, 'saved', kinds, {
      enter(kind) {
        if (kind === 'graph') graphs++;
        return true;
      },
      field({ kind, number, wireType, start, end, value }, reader) {
        at = start;
        if (kind === 'saved' && number === 1) report.summary.version = String(value);
        const isOp = kind === 'node' && number === opField && wireType === lengthDelimited;
        if (isOp && end - start <= nameBytesMax) found.add(reader.text(end - start));
      },
    });
  } catch (error) {
    if (!(error instanceof NotThisFormat)) throw error;
    if (error instanceof TooManyFields)
      report.add('not-read-to-end', 'It has more fields than are looked at', `byte ${at}`);
    else
      report.add('saved-model-damaged', 'A field is damaged, or leaves its message', `byte ${at}`);
  }
  if (graphs === 0) report.add('saved-model-graph', 'It has no graph');
  for (const op of found) {
    if (fileOps.has(op))
      report.add('saved-model-file-op', `The operator ${quoted(op)} reads or writes files`);
    if (pythonOps.has(op))
      report.add('saved-model-python-op', `The operator ${quoted(op)} runs Python code`);
  }
  if (around !== undefined) checkAround(around, report);
}

function checkAround(around: Neighbours, report: Report): void {
  const index = around.find('variables/variables.index');
  const hasData = [1, 2, 4, 8, 16, 32].some(
    (count) =>
      around.find(`variables/variables.data-00000-of-${String(count).padStart(5, '0')}`) !==
      undefined,
  );
  if ((index !== undefined) !== hasData) {
    const lacking = index === undefined ? 'variables.index' : 'variables.data-00000-of-…';
    report.add(
      'saved-model-variables',
      'Index and data of the variables belong together',
      `variables/${lacking}`,
    );
  }
  const metadata = around.find('keras_metadata.pb');
  if (metadata === undefined) return;
  const open = metadata.open();
  try {
    if (layerWithCode(open.read(0, Math.min(open.size, metadataBytesMax))) !== undefined)
      report.add('keras-lambda', 'A layer Lambda holds code', 'keras_metadata.pb');
  } finally {
    open.close();
  }
}
