import { Composer, type CST, type Document, Lexer, LineCounter, Parser } from 'yaml';
import { jsonDepthMax } from '../base/json.ts';
import { limits } from '../base/limits.ts';

/*
 * All that is used of the YAML library, which is bundled as a part of its own and loaded when the first
 * file in YAML is read.
 */
export { isScalar, stringify as formatYaml, visit } from 'yaml';

/**
 * Parses one document, and stops at its first fault: the library by itself gathers all of them, at a tenth
 * of a millisecond each and more on long lines. Levels are counted before the library composes them, which it
 * does by recursion: deep enough, that ends the process.
 * @throws Error that says what is wrong and where
 */
export function parseYamlDocument(text: string): Document.Parsed {
  const faults = new FirstFault();
  // The library's own search for names that stand twice takes time by the square of their number.
  const composer = new Composer({ uniqueKeys: false, merge: true });
  Object.assign(composer, {
    onError(source: Source, _code: string, message: string): never {
      throw faults.at(message, offsetOf(source));
    },
  });
  let found: Document.Parsed | undefined;
  try {
    for (const document of composer.compose(tokensOf(text, faults), true, text.length)) {
      if (found !== undefined) {
        throw faults.at('Source contains multiple documents', document.range[0]);
      }
      found = document as Document.Parsed;
    }
  } catch (error) {
    throw faults.first ?? error;
  }
  if (faults.first !== undefined) throw faults.first;
  // It is there even where the text is empty: the composer was asked for one.
  return found as Document.Parsed;
}

/** What the library hands its own handler of errors: an offset, two, or what is at one. */
type Source = number | readonly number[] | { readonly offset: number };

function offsetOf(source: Source): number {
  if (typeof source === 'number') return source;
  return 'offset' in source ? source.offset : (source[0] ?? 0);
}

/** The first fault of a text. It goes up through handlers of the library, which would wrap it once a level. */
class FirstFault {
  readonly lines = new LineCounter();
  first: Error | undefined;
  #cut: { readonly offset: number; readonly fault: Error } | undefined;

  at(message: string, offset: number): Error {
    const fault = offset >= (this.#cut?.offset ?? Infinity) ? this.#cut?.fault : undefined;
    this.first ??= fault ?? this.#told(message, offset);
    return this.first;
  }

  /** Ends the text early: what is wrong behind that place is that. */
  cut(message: string, offset: number): void {
    this.#cut = { offset, fault: this.#told(message, offset) };
  }

  /** What was wrong with the end, where nothing was before it. */
  end(): void {
    this.first ??= this.#cut?.fault;
  }

  #told(message: string, offset: number): Error {
    const { line, col } = this.lines.linePos(offset);
    return new Error(`${message} at line ${line}, column ${col}`);
  }
}

/** Levels that are under construction: each list or mapping, and some for what is around them. */
const openMax = jsonDepthMax + 4;

function* tokensOf(text: string, faults: FirstFault): Generator<CST.Token, void, void> {
  const { addNewLine } = faults.lines;
  addNewLine(0);
  const parser = new Parser(addNewLine);
  let parts = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (++parts > limits.yamlPartsMax) {
      throw faults.at(
        `There are more than ${limits.yamlPartsMax} names, values and signs`,
        parser.offset,
      );
    }
    for (const token of parser.next(lexeme)) yield checked(token, faults);
    if (parser.stack.length <= openMax) continue;
    // What was wrong before may be why there are so many: the part up to here is composed.
    faults.cut(`There are more than ${jsonDepthMax} levels`, parser.offset);
    break;
  }
  for (const token of parser.end()) yield checked(token, faults);
  faults.end();
}

function checked(token: CST.Token, faults: FirstFault): CST.Token {
  if (token.type === 'error') throw faults.at(token.message, token.offset);
  return token;
}
