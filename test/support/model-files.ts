import { ggufFile, ggufText, ggufTexts } from './gguf.ts';
import { onnxFile } from './onnx.ts';
import { stateDict, torchTensor } from './pickles.ts';
import { safetensorsFile } from './safetensors.ts';
import { zipFile } from './zip.ts';

const weights = stateDict({ a: torchTensor('0', 4), b: torchTensor('1', 9, 'HalfStorage') });

/** Whole files of formats with many parts, by name. */
export const modelFiles: ReadonlyArray<readonly [string, Buffer]> = [
  [
    'm.safetensors',
    safetensorsFile([
      { name: 'a', bytes: Buffer.alloc(40) },
      { name: 'b', bytes: Buffer.alloc(9) },
    ]),
  ],
  [
    'm.gguf',
    ggufFile([{ name: 'a', bytes: Buffer.alloc(64), type: 0, shape: [4, 4] }], {
      metadata: { k: ggufText('v'), t: ggufTexts(['a', 'b']) },
    }),
  ],
  ['m.onnx', onnxFile([{ name: 'w', bytes: Buffer.alloc(12) }], ['n'])],
  [
    'm.pt',
    zipFile(
      [
        { name: 'a/data.pkl', bytes: weights },
        { name: 'a/data/0', bytes: Buffer.alloc(16) },
      ],
      { alignment: 64 },
    ),
  ],
  ['m.pkl', weights],
  [
    'm.npz',
    zipFile([
      {
        name: 'a.npy',
        bytes: Buffer.from(
          "\x93NUMPY\x01\x00\x3b\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }     \n",
          'latin1',
        ),
      },
    ]),
  ],
  [
    'm.keras',
    zipFile([
      { name: 'config.json', bytes: Buffer.from('{"class_name":"Dense","config":{}}') },
      { name: 'metadata.json', bytes: Buffer.from('{}') },
    ]),
  ],
  [
    'm.tflite',
    Buffer.concat([Buffer.from([32, 0, 0, 0]), Buffer.from('TFL3'), Buffer.alloc(90, 4)]),
  ],
  ['saved_model.pb', onnxFile([], ['n'])],
  ['config.json', Buffer.from('{"id2label":{"0":"a"},"auto_map":{"x":"y"}}')],
  ['tokenizer.json', Buffer.from('{"version":"1","added_tokens":[],"model":{"vocab":{"a":1}}}')],
  [
    'model.json',
    Buffer.from(
      '{"weightsManifest":[{"paths":["a"],"weights":[{"name":"w","shape":[1],"dtype":"int32"}]}]}',
    ),
  ],
  ['m.safetensors.index.json', Buffer.from('{"weight_map":{"a":"b"}}')],
  ['labels.txt', Buffer.from('a\nb\n')],
];
