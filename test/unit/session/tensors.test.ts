import { describe, expect, it } from 'vitest';
import { checkFeeds, checkOutputs, type TensorFacts } from '../../../src/session/tensors.ts';

const image: TensorFacts = { name: 'image', type: 'float32', shape: ['n', 2, null] };
const none = () => undefined;
const check = (feeds: unknown, ...inputs: TensorFacts[]) => checkFeeds(feeds, inputs, none);
const input = (type: string | undefined, shape?: TensorFacts['shape']): TensorFacts => ({
  name: 'x',
  type,
  shape,
});

describe('inputs of a model', () => {
  it('are taken where type, dims and number of elements are right', () => {
    const data = new Float32Array(12);
    const checked = check({ image: { data, dims: [2, 2, 3] } }, image);
    expect(checked.get('image')).toEqual({
      own: undefined,
      tensor: { type: 'float32', dims: [2, 2, 3], data },
    });
    expect(check({}).size).toBe(0);
  });

  it.each([
    ['no object', null, 'The inputs are no object of tensors by name'],
    ['a list', [], 'The inputs are no object of tensors by name'],
    ['none', {}, 'The input image is missing'],
    ['another', { image: {}, other: 1 }, 'The model has no input other'],
    ['a name of every object', { constructor: 1 }, 'The model has no input constructor'],
    ['no tensor', { image: 7 }, 'The input image is no tensor: give an object with data and dims'],
    [
      'no data',
      { image: { dims: [1] } },
      'The input image has no data: give a typed array, or an array of texts',
    ],
    [
      'a view that is no array',
      { image: { data: new DataView(new ArrayBuffer(8)), dims: [2] } },
      'The input image has no data: give a typed array, or an array of texts',
    ],
    [
      'no dims',
      { image: { data: new Float32Array(2) } },
      'The input image has no dims: give a list of whole numbers',
    ],
    [
      'dims that are none',
      { image: { data: new Float32Array(2), dims: [2, -1] } },
      'The input image has no dims: give a list of whole numbers',
    ],
    [
      'too few elements',
      { image: { data: new Float32Array(11), dims: [2, 2, 3] } },
      'The input image has 11 elements; its dims [2, 2, 3] need 12',
    ],
    [
      'another array',
      { image: { data: new Float64Array(12), dims: [2, 2, 3] } },
      'The input image has a Float64Array for data; float32 is kept in a Float32Array',
    ],
    [
      'another type',
      { image: { data: new Float32Array(12), dims: [2, 2, 3], type: 'int32' } },
      'The input image is of type int32; the model takes float32',
    ],
    [
      'another length of an axis',
      { image: { data: new Float32Array(9), dims: [1, 3, 3] } },
      'The input image has the dims [1, 3, 3]; the model takes [n, 2, ?]',
    ],
    [
      'another number of axes',
      { image: { data: new Float32Array(2), dims: [1, 2] } },
      'The input image has the dims [1, 2]; the model takes [n, 2, ?]',
    ],
  ])('are refused: %s', (_, feeds, message) => {
    expect(() => check(feeds, image)).toThrow(
      expect.objectContaining({
        code: 'bad-input',
        message,
        hint: 'The model takes image float32[n, 2, ?]',
      }),
    );
  });

  it('may be of every type that an array holds', () => {
    const arrays = {
      float16: new Uint16Array(1),
      int8: new Int8Array(1),
      int16: new Int16Array(1),
      int32: new Int32Array(1),
      int64: new BigInt64Array(1),
      uint8: new Uint8ClampedArray(1),
      uint16: new Uint16Array(1),
      uint32: new Uint32Array(1),
      uint64: new BigUint64Array(1),
      float64: new Float64Array(1),
      bool: new Uint8Array(1),
      string: ['one'],
    };
    for (const [type, data] of Object.entries(arrays)) {
      const feed = check({ x: { data, dims: [1] } }, input(type)).get('x');
      expect(feed, type).toMatchObject({ tensor: { type } });
    }
    const buffer = Buffer.alloc(1);
    expect(check({ x: { data: buffer, dims: [1] } }, input('uint8')).size).toBe(1);
    expect(() => check({ x: { data: [1], dims: [1] } }, input('string'))).toThrow('no text');
    expect(() => check({ x: { data: ['1'], dims: [1] } }, input('int4'))).toThrow(
      'has the type int4, for which only tensors of the runtime are taken',
    );
  });

  it('say their type themselves where the model does not', () => {
    const plain = check({ x: { data: new Uint8Array(2), dims: [2] } }, input(undefined));
    expect(plain.get('x')).toMatchObject({ tensor: { type: 'uint8' } });
    const told = { data: new Uint8Array(2), dims: [2], type: 'bool' };
    expect(check({ x: told }, input(undefined)).get('x')).toMatchObject({
      tensor: { type: 'bool' },
    });
    expect(() => check({ x: { ...told, type: 7 } }, input(undefined))).toThrow(
      'has a Uint8Array for data, which no type is kept in',
    );
  });

  it('may be tensors of the runtime, whose type and dims are checked too', () => {
    const made = { mark: true };
    const own = (type: string, dims: number[]) => (value: unknown) =>
      value === made ? { type, dims } : undefined;
    expect(checkFeeds({ image: made }, [image], own('float32', [1, 2, 9])).get('image')).toEqual({
      own: made,
    });
    expect(() => checkFeeds({ image: made }, [image], own('int8', [1, 2, 9]))).toThrow(
      'is of type int8',
    );
    expect(() => checkFeeds({ image: made }, [image], own('float32', [2]))).toThrow('the dims [2]');
  });

  it('are shown safely', () => {
    expect(() => check({ 'x\u001b[2J': 1 }, image)).toThrow('no input x\\u{1b}[2J');
  });
});

describe('outputs of a model', () => {
  const outputs = ['a', 'b'].map((name) => ({ name, type: undefined, shape: undefined }));
  it('are all, or those that are asked for, once', () => {
    expect(checkOutputs(undefined, outputs)).toEqual(['a', 'b']);
    expect(checkOutputs(['b', 'b'], outputs)).toEqual(['b']);
    expect(() => checkOutputs(['c'], outputs)).toThrow(
      expect.objectContaining({ code: 'bad-input', message: 'The model has no output c' }),
    );
  });
});
