import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { validateFile } from '../../src/validate/validate.ts';
import { modelFiles } from '../support/model-files.ts';
import { callOf, globalOp, op, pickleOf, text } from '../support/pickles.ts';
import { runs } from '../support/runs.ts';
import { CountedSource } from '../support/validate.ts';

const evil = callOf(globalOp('os', 'system'));
const edits = fc.array(fc.record({ at: fc.nat(2000), byte: fc.nat(255), kind: fc.nat(3) }), {
  minLength: 1,
  maxLength: 6,
});

/** Sets, inserts and removes bytes, and cuts the end. */
function mutate(
  bytes: Buffer,
  changes: ReadonlyArray<{ at: number; byte: number; kind: number }>,
): Buffer {
  let changed = Buffer.from(bytes);
  for (const { at, byte, kind } of changes) {
    const place = changed.length === 0 ? 0 : at % changed.length;
    if (kind === 0) changed[place] = byte;
    else if (kind === 1)
      changed = Buffer.concat([
        changed.subarray(0, place),
        Buffer.from([byte]),
        changed.subarray(place),
      ]);
    else if (kind === 2)
      changed = Buffer.concat([changed.subarray(0, place), changed.subarray(place + 1)]);
    else changed = changed.subarray(0, Math.max(place, changed.length >> 1));
  }
  return changed;
}

/** Validates, and checks what holds of every result. */
function check(name: string, bytes: Buffer): void {
  const source = new CountedSource(name, bytes);
  const { findings, verdict } = validateFile(source);
  expect(source.opened).toBe(0);
  const isBad = findings.some(({ severity }) => severity !== 'notice');
  expect(verdict === 'ok').toBe(!isBad);
  // Members of an archive are read for their headers, their content and once more to be searched.
  expect(source.bytesRead).toBeLessThan(40 * bytes.length + 100_000);
}

describe('validation', () => {
  it('never fails on any bytes under any name', () => {
    const name = fc.constantFrom(
      ...modelFiles.map(([one]) => one),
      'm.h5',
      'm.npy',
      'm.joblib',
      'm.bin',
      'x',
    );
    fc.assert(
      fc.property(name, fc.uint8Array({ maxLength: 600 }), (given, bytes) =>
        check(given, Buffer.from(bytes)),
      ),
      runs(300),
    );
  });

  it('never fails on files that were changed a little', () => {
    fc.assert(
      fc.property(fc.constantFrom(...modelFiles), edits, ([name, bytes], changes) =>
        check(name, mutate(bytes, changes)),
      ),
      runs(1500),
    );
  });

  it('never fails on opcodes in any order', () => {
    const opcode = fc.oneof(
      fc.constantFrom(...Object.values(op), evil, text('os'), text('a.b'), globalOp('a', 'b')),
      fc.uint8Array({ minLength: 1, maxLength: 3 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(fc.array(opcode, { maxLength: 60 }), (parts) =>
        check('m.pkl', pickleOf(2, ...parts)),
      ),
      runs(600),
    );
  });

  it('finds a call whatever harmless opcodes stand before it', () => {
    const harmless = fc.constantFrom(
      op.none,
      op.emptyDict,
      op.emptyList,
      op.mark,
      text('x'),
      op.memoize,
    );
    fc.assert(
      fc.property(fc.array(harmless, { maxLength: 40 }), (parts) => {
        const source = new CountedSource('m.pkl', pickleOf(4, op.none, ...parts, evil));
        expect(validateFile(source).verdict).toBe('dangerous');
      }),
      runs(200),
    );
  });
});
