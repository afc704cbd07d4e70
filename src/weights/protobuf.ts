import type { ByteReader } from './byte-reader.ts';
import { expectFormat, NotThisFormat, WindowReader } from './window-reader.ts';

/** Fields of one file that are looked at for cuts; a frozen part of their rules. */
const fieldsMaxOfCuts = 2 * 1024 * 1024;
/** Messages inside each other, the file itself included; frozen too. */
const depthMax = 64;

/** Thrown where a file has more fields than are looked at. */
export class TooManyFields extends NotThisFormat {}

/** Wire type of fields that start with their length. */
export const lengthDelimited = 2;

/** The kinds of messages by name, each with the kinds of messages in its fields, by number. */
export type MessageKinds<Kind extends string> = Readonly<
  Record<Kind, Readonly<Record<number, Kind>>>
>;

/** A field whose content is passed over. */
export interface Field<Kind extends string> {
  /** The message that it is in. */
  readonly kind: Kind;
  readonly number: number;
  readonly wireType: number;
  /** The integer of a field of variable length, not exact above 2^53; else 0. */
  readonly value: number;
  /** Offset of the content in the file. */
  readonly start: number;
  readonly end: number;
}

/** What {@link walkMessages} tells on its way. */
export interface MessageVisitor<Kind extends string> {
  /** Asked for each message inside another, `parent`: whether to look into its `length` bytes. */
  enter(kind: Kind, length: number, parent: Kind): boolean;
  /**
   * Called for each field that is not entered; may read its content, which starts at `reader.at`, but
   * not beyond.
   */
  field(field: Field<Kind>, reader: WindowReader): void;
  /** Called at the end of each message that was entered. */
  leave?(kind: Kind): void;
}

/**
 * Walks a file that is one message of Protocol Buffers: tags and lengths, without the content of fields.
 * Source: the page "Encoding" of the Protocol Buffers documentation.
 * @throws NotThisFormat where a field is damaged, leaves its message or has a type that is not used any
 * more (groups), or they are too deep; {@link TooManyFields} when there are too many
 */
export function walkMessages<Kind extends string>(
  file: ByteReader,
  top: Kind,
  kinds: MessageKinds<Kind>,
  visitor: MessageVisitor<Kind>,
  fieldsMax = fieldsMaxOfCuts,
): void {
  const reader = new WindowReader(file, 0, file.size);
  const open: Array<{ kind: Kind; end: number }> = [{ kind: top, end: file.size }];
  let fields = 0;
  for (let inner = open.at(-1); inner !== undefined; inner = open.at(-1)) {
    if (reader.at === inner.end) {
      visitor.leave?.(inner.kind);
      open.pop();
      continue;
    }
    fields++;
    if (fields > fieldsMax) throw new TooManyFields();
    const tag = reader.varint();
    const number = Math.floor(tag / 8);
    expectFormat(number > 0 && number < 2 ** 29);
    const wireType = tag % 8;
    const value = wireType === 0 ? reader.anyVarint() : 0;
    const length = wireType === 0 ? 0 : contentLength(reader, wireType);
    const start = reader.at;
    const end = start + length;
    expectFormat(end <= inner.end);
    const child = wireType === lengthDelimited ? kinds[inner.kind][number] : undefined;
    if (child !== undefined && visitor.enter(child, length, inner.kind)) {
      expectFormat(open.length < depthMax);
      open.push({ kind: child, end });
      continue;
    }
    visitor.field({ kind: inner.kind, number, wireType, value, start, end }, reader);
    expectFormat(reader.at <= end);
    reader.skip(end - reader.at);
  }
}

/** Bytes of a field of known length behind its tag and length. */
function contentLength(reader: WindowReader, wireType: number): number {
  if (wireType === lengthDelimited) return reader.varint();
  expectFormat(wireType === 1 || wireType === 5);
  return wireType === 1 ? 8 : 4;
}
