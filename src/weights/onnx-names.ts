import type { OnnxKind } from './onnx.ts';
import { expectSound } from './tensors.ts';

/** A message that is open, and what it is called so far. */
interface Open {
  readonly kind: OnnxKind;
  /** How many of its kind came before it in the same message. */
  readonly index: number;
  readonly counts: Map<OnnxKind, number>;
  label: string;
}

/** Characters of one name, and of all. */
const nameLengthMax = 64 * 1024;
const namesLengthMax = 64 * 1024 * 1024;

/**
 * Names the tensors of a model while it is walked. Nodes go by their first output, which no other node of the graph
 * has; what has no name by its number in the message around it.
 */
export class OnnxNames {
  readonly #open: Open[] = [];
  readonly #top = new Map<OnnxKind, number>();
  #length = 0;

  /** Enters a message. */
  enter(kind: OnnxKind): void {
    const counts = this.#open.at(-1)?.counts ?? this.#top;
    const index = counts.get(kind) ?? 0;
    counts.set(kind, index + 1);
    this.#open.push({ kind, index, counts: new Map(), label: '' });
  }

  /** Takes the name of the message that is open, if the field is one. */
  field(kind: OnnxKind, number: number, text: () => string): void {
    const open = this.#open.at(-1);
    if (open === undefined || open.label !== '') return;
    const isOutput = kind === 'node' && (number === 2 || number === 3);
    if (isOutput || ((kind === 'attribute' || kind === 'function') && number === 1))
      open.label = text();
  }

  /** Leaves the message that is open. */
  leave(): void {
    this.#open.pop();
  }

  /**
   * Names the tensor that is open, after all of it was read.
   * @param own its own name
   */
  nameTensor(own: string): string {
    let name = '';
    for (const [i, open] of this.#open.entries()) {
      const around = this.#open[i - 1]?.kind;
      name += open.kind === 'tensor' ? tensorPart(open, around, own) : partOf(open, around);
      expectSound(name.length <= nameLengthMax, 'The name of a tensor is too long');
    }
    this.#length += name.length;
    expectSound(this.#length <= namesLengthMax, 'The names of its tensors are too long');
    const holder = this.#open.at(-2);
    if (holder?.kind === 'sparse' && holder.label === '') holder.label = own;
    return name;
  }
}

function partOf({ kind, index, label }: Open, around: OnnxKind | undefined): string {
  const again = index === 0 ? '' : `[${index}]`;
  switch (kind) {
    case 'graph':
      return around === undefined && index === 0 ? '' : `${again}/`;
    case 'node':
      return label === '' ? `node[${index}]` : label;
    case 'attribute':
      return `.${label === '' ? `attribute[${index}]` : label}`;
    case 'function':
      return `function ${label === '' ? `[${index}]` : label}/`;
    case 'training':
      return `training[${index}].graph`;
    case 'sparse':
      return around === 'graph' ? label : again;
    default:
      return '';
  }
}

function tensorPart({ index }: Open, around: OnnxKind | undefined, own: string): string {
  const again = index === 0 ? '' : `[${index}]`;
  if (around === 'graph') return own === '' ? `tensor[${index}]` : own;
  if (around === 'sparse') return index === 0 ? own : '.indices';
  return again;
}
