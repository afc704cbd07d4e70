import { describe, expect, it } from 'vitest';
import { systemRandom } from '../../../src/base/clock.ts';
import { formatHeader, parseHeader } from '../../../src/store/header.ts';

const id = '0123456789abcdef0123456789abcdef';
const parse = (value: object) => parseHeader(Buffer.from(JSON.stringify(value)), 'there');

describe('a header', () => {
  it('tells when it was made, and how chunks are cut', () => {
    const header = JSON.parse(
      formatHeader({ now: () => 5, monotonic: () => 0 }, systemRandom).toString(),
    );
    expect(header).toEqual({
      mstore: 1,
      id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      created: '1970-01-01T00:00:00.005Z',
      chunking: {
        ...{ rule: 'mh8', min: 131_072, norm: 262_144, max: 1_048_576 },
        cuts: expect.anything() as unknown,
      },
    });
  });

  it.each<[object, string]>([
    [{ id }, 'there/mstore.json is no header of an mstore store'],
    [{ mstore: 1, id: [id] }, 'there/mstore.json has no valid format and id'],
    [{ mstore: 1, id: `${id}0` }, 'there/mstore.json has no valid format and id'],
    [{ mstore: 1, id: `x${id}` }, 'there/mstore.json has no valid format and id'],
  ])('may not be %j', (value, message) => {
    const hint = expect.stringContaining('Remove that file') as string;
    expect(() => parse(value)).toThrow(
      expect.objectContaining({
        ...{ code: 'corrupt-store', message, hint },
        details: { where: 'there' },
      }) as Error,
    );
  });

  it.each([
    [{ mstore: 2, id }, 'format 2'],
    [{ mstore: 1, id, encryption: {} }, 'encryption'],
  ])('of a newer program is told as such: %j', (value, what) => {
    expect(() => parse(value)).toThrow(
      expect.objectContaining({
        code: 'newer-format',
        message: `there uses ${what}, which this mstore cannot read`,
        hint: 'Install a newer mstore',
        details: { where: 'there', format: value.mstore },
      }) as Error,
    );
  });
});
