import { field, numberField } from './onnx.ts';

/** Numbers of element types, as ONNX has them. */
const types = { float: 1, int64: 7, string: 8 } as const;

/** An input or output of a model: name, type, and axes by length or name. */
export type Port = readonly [
  name: string,
  type: keyof typeof types,
  axes: ReadonlyArray<number | string>,
];

function port([name, type, axes]: Port): Buffer[] {
  const dims = axes.map((axis) =>
    field(1, [typeof axis === 'string' ? field(2, axis) : numberField(1, axis)]),
  );
  return [field(1, name), field(2, [field(1, [numberField(1, types[type]), field(2, dims)])])];
}

/** A node: operator, inputs, outputs. */
export type Node = readonly [
  operator: string,
  inputs: readonly string[],
  outputs: readonly string[],
];

/** The parts of a model that runs. */
export interface RunnableParts {
  readonly nodes: readonly Node[];
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Fields of TensorProtos. */
  readonly tensors?: ReadonlyArray<readonly Buffer[]>;
}

/** A model that ONNX Runtime loads and runs. */
export function runnableOnnx({ nodes, inputs, outputs, tensors = [] }: RunnableParts): Buffer {
  const graph = [
    ...nodes.map(([operator, from, to]) =>
      field(1, [
        ...from.map((name) => field(1, name)),
        ...to.map((name) => field(2, name)),
        field(4, operator),
      ]),
    ),
    field(2, 'graph'),
    ...tensors.map((tensor) => field(5, tensor)),
    ...inputs.map((input) => field(11, port(input))),
    ...outputs.map((output) => field(12, port(output))),
  ];
  return Buffer.concat([
    numberField(1, 8),
    field(2, 'test'),
    field(7, graph),
    field(8, [field(1, ''), numberField(2, 17)]),
  ]);
}

/** Multiplies `x` by a matrix of two rows and columns that is in another file: `y = x · w`. */
export function externalMatMul(location: string): Buffer {
  const tensor = [
    ...[numberField(1, 2), numberField(1, 2), numberField(2, 1), field(8, 'w')],
    ...[field(13, [field(1, 'location'), field(2, location)]), numberField(14, 1)],
  ];
  return runnableOnnx({
    nodes: [['MatMul', ['x', 'w'], ['y']]],
    inputs: [['x', 'float', ['n', 2]]],
    outputs: [['y', 'float', ['n', 2]]],
    tensors: [tensor],
  });
}

/** The matrix for {@link externalMatMul}: rows 1 2 and 3 4. */
export const matrixBytes = Buffer.from(new Float32Array([1, 2, 3, 4]).buffer);

/** Gives back what it is given: `x` of text as `y`, `k` of 64-bit numbers as `l`. */
export const identityOnnx = runnableOnnx({
  nodes: [
    ['Identity', ['x'], ['y']],
    ['Identity', ['k'], ['l']],
  ],
  inputs: [
    ['x', 'string', ['n']],
    ['k', 'int64', [2]],
  ],
  outputs: [
    ['y', 'string', ['n']],
    ['l', 'int64', [2]],
  ],
});
