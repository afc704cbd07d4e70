/** How bad a finding is, least first. A notice is only worth knowing. */
export const severities = ['notice', 'warning', 'invalid', 'dangerous'] as const;

/** How bad a finding is. */
export type Severity = (typeof severities)[number];

/**
 * Every rule: how bad it is when it is broken, and what it says. Ids are stable; docs/guide/validate.md
 * lists them.
 */
export const rules = {
  'wrong-format': ['invalid', 'the content is not what the name says, and no other known format'],
  'other-format': ['warning', 'the content is another known format than the name says'],
  'not-read-to-end': ['warning', 'all was seen before the limits of bytes and steps were met'],
  'code-file': ['warning', 'a file of Python code lies beside the model'],

  'safetensors-length': ['invalid', 'the length of the header fits the file and the limit'],
  'safetensors-header': ['invalid', 'the header is a JSON object in UTF-8 that starts with {'],
  'safetensors-duplicate': ['invalid', 'no key stands twice in the header'],
  'safetensors-metadata': ['invalid', '__metadata__ maps texts to texts'],
  'safetensors-entry': ['invalid', 'a tensor has dtype, shape and data_offsets of the right kind'],
  'safetensors-dtype': ['warning', 'the dtype is a known one'],
  'safetensors-size': ['invalid', 'the shape and the dtype give the bytes of the data'],
  'safetensors-gap': ['invalid', 'the data of tensors has no hole'],
  'safetensors-overlap': ['invalid', 'the data of tensors does not overlap'],
  'safetensors-end': ['invalid', 'the data of tensors ends with the file'],
  'shards-index': ['invalid', 'an index of shards has a weight_map of texts'],
  'shards-path': ['dangerous', 'a shard lies beside its index'],
  'shards-file': ['invalid', 'every shard is there'],
  'shards-tensor': ['invalid', 'index and shards name the same tensors'],
  'shards-size': ['warning', 'total_size is the size of the data of all shards'],

  'pickle-denied': ['dangerous', 'loading imports what can run code'],
  'pickle-suspicious': ['warning', 'loading imports what is on no list of harmless names'],
  'pickle-unresolved': ['dangerous', 'what is imported or called cannot be told beforehand'],
  'pickle-extension': ['dangerous', 'an import by number, through the registry of copyreg'],
  'pickle-patch': ['dangerous', 'attributes of an imported object are set'],
  'pickle-unread': ['dangerous', 'a pickle is walked to its end'],
  'pickle-persistent': ['warning', 'ids of objects are those of storages of PyTorch'],
  'pickle-bomb': ['dangerous', 'loading takes memory or time out of all proportion'],
  'pickle-broken': ['invalid', 'the opcodes are whole and known'],
  'pickle-stack': ['warning', 'the opcodes leave and take what the stack and the memo hold'],
  'pickle-protocol': ['warning', 'PROTO comes first, once, with a known number'],
  'pickle-trailing': ['warning', 'nothing stands behind the last pickle'],
  'pickle-hidden': ['dangerous', 'what is no pickle by its name, or its form, holds no imports'],

  'zip-directory': ['dangerous', 'the central directory is whole'],
  'zip-several-ends': ['dangerous', 'there is one end of the central directory'],
  'zip-data-before': ['dangerous', 'the first member starts at the first byte'],
  'zip-headers-differ': ['dangerous', 'local headers say what the central directory says'],
  'zip-encrypted': ['dangerous', 'no member is marked as encrypted'],
  'zip-duplicate': ['dangerous', 'no name stands twice'],
  'zip-overlap': ['dangerous', 'members do not overlap'],
  'zip-gap': ['dangerous', 'nothing lies between members'],
  'zip-checksum': ['dangerous', 'small members have the CRC that is told of them'],
  'zip-path': ['dangerous', 'names stay in the folder that they are unpacked to'],
  'zip-method': ['dangerous', 'members are stored or deflated'],
  'zip-bomb': ['dangerous', 'the sizes of members are in proportion'],
  'archive-unread': ['dangerous', 'a model is not wrapped in an archive that is not looked into'],

  'torch-layout': ['invalid', 'an archive of PyTorch has one folder with data.pkl'],
  'torch-storage': ['invalid', 'the storages of the archive are there'],
  'torch-code': ['warning', 'the archive of TorchScript holds code, which runs'],
  'torch-legacy': ['invalid', 'a file of PyTorch before 1.6 has its five pickles'],
  'torch-tar': ['warning', 'a tar of PyTorch before 0.1.10 can be loaded by old versions alone'],

  'gguf-version': ['invalid', 'the version is 2 or 3'],
  'gguf-header': ['invalid', 'metadata and table of tensors are whole and within the limits'],
  'gguf-key': ['invalid', 'keys of metadata are not empty, and none stands twice'],
  'gguf-value': ['invalid', 'values of metadata have a known type'],
  'gguf-alignment': ['invalid', 'general.alignment is a u32 that is a power of two'],
  'gguf-architecture': ['warning', 'general.architecture is there'],
  'gguf-tensor': ['invalid', 'a tensor has a name of its own, of 63 bytes at most, and a shape'],
  'gguf-type': ['warning', 'the type of a tensor is a known one'],
  'gguf-offset': ['invalid', 'tensors follow each other in the order of the table'],
  'gguf-end': ['invalid', 'the data of all tensors is in the file'],
  'gguf-padding': ['warning', 'the last tensor is padded'],
  'gguf-endian': ['warning', 'the file is little-endian: others are not looked into'],
  'chat-template': ['notice', 'a chat template is there: a program in Jinja, which loaders run'],

  'onnx-damaged': ['invalid', 'the fields of the model are whole'],
  'onnx-ir-version': ['invalid', 'ir_version is there'],
  'onnx-opset': ['invalid', 'at least one opset is imported'],
  'onnx-graph': ['invalid', 'there is one graph, and it has nodes'],
  'onnx-domain': ['warning', 'operators are of the domains that runtimes bring along'],
  'onnx-size': ['invalid', 'a model above 2 GiB keeps its tensors elsewhere'],
  'onnx-tensor': ['invalid', 'the data of a tensor has the bytes of its type and dims'],
  'onnx-external-path': ['dangerous', 'external data lies in the folder of the model, or below'],
  'onnx-external-file': ['invalid', 'the files of external data are there'],
  'onnx-external-range': ['invalid', 'external data lies inside its file'],
  'onnx-external-link': ['warning', 'external data is no link, which ONNX refuses'],

  'keras-layout': ['invalid', 'an archive of Keras has config.json and model.weights.h5'],
  'keras-config': ['invalid', 'the configuration is a JSON object'],
  'keras-lambda': ['dangerous', 'a layer holds code: a Lambda, or a wrapped module'],
  'keras-module': ['dangerous', 'classes come from Keras itself'],
  'keras-unsafe': ['dangerous', 'the configuration names a function that loads or unlocks code'],
  'hdf5-superblock': ['invalid', 'the superblock is whole and the file not cut short'],
  'hdf5-not-parsed': ['notice', 'HDF5 is only searched for layers with code, at both ends'],

  'saved-model-damaged': ['invalid', 'the fields of saved_model.pb are whole'],
  'saved-model-graph': ['invalid', 'there is a graph'],
  'saved-model-variables': ['invalid', 'variables.index and its data are there'],
  'saved-model-file-op': ['dangerous', 'no operator reads or writes files'],
  'saved-model-python-op': ['dangerous', 'no operator runs Python code'],

  'tfjs-config': ['invalid', 'model.json has a weightsManifest of the right form'],
  'tfjs-path': ['dangerous', 'weights lie beside model.json, or below'],
  'tfjs-file': ['invalid', 'the files of weights are there'],
  'tfjs-size': ['invalid', 'the files of weights have the bytes that the manifest needs'],
  'tfjs-dtype': ['warning', 'the dtype is a known one'],
  'tflite-layout': ['invalid', 'the tables of the model lie inside the file'],
  'tflite-version': ['warning', 'the version of the schema is 3'],
  'tflite-custom': ['warning', 'operators need no code beside the runtime'],

  'npy-header': ['invalid', 'the header is a dict with descr, fortran_order and shape'],
  'npy-size': ['invalid', 'the shape and the type give the bytes of the data'],
  'npy-object': ['warning', 'an array of objects is a pickle'],

  'json-syntax': ['invalid', 'the file is JSON in UTF-8'],
  'json-duplicate': ['warning', 'no key stands twice'],
  'config-auto-map': ['warning', 'the configuration names code that is loaded with the model'],
  'config-labels': ['invalid', 'id2label has a text for each number from 0, label2id the reverse'],
  'tokenizer-form': ['invalid', 'tokenizer.json has a model'],
  'tokenizer-ids': ['invalid', 'no id of the vocabulary stands for two tokens'],
  'labels-text': ['invalid', 'labels are lines of text in UTF-8'],
  'labels-empty': ['warning', 'no line is empty'],
  'labels-duplicate': ['warning', 'no label stands twice'],
} as const satisfies Readonly<Record<string, readonly [Severity, string]>>;

/** The id of a rule. */
export type Rule = keyof typeof rules;
