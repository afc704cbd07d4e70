import { type Rule, rules, type Severity, severities } from './rules.ts';

/** What is wrong with a file, or worth knowing, and where. */
export interface Finding {
  readonly rule: Rule;
  readonly severity: Severity;
  /** Offset, member, tensor or key. */
  readonly where?: string;
  readonly message: string;
}

/** The result for a file; there is none that says it is safe. */
export type Verdict = 'ok' | 'warning' | 'invalid' | 'dangerous';

/** Something that a file would import when it is loaded. */
export interface ImportNote {
  /** Module and name, as Python 3 finds them. */
  readonly name: string;
  readonly judged: 'allowed' | 'suspicious' | 'denied';
}

/** What a file holds, as far as its format tells. */
export interface Summary {
  tensors?: number;
  /** Elements of all tensors. */
  parameters?: number;
  /** Tensors by the name of their type. */
  dtypes?: Readonly<Record<string, number>>;
  /** Version of each imported set of operators, by domain. */
  opset?: Readonly<Record<string, number>>;
  /** Version of the format, as the file writes it. */
  version?: string;
  /** Program that wrote it. */
  producer?: string;
  architecture?: string;
  /** Members of an archive. */
  members?: number;
  imports?: readonly ImportNote[];
  /** Whether `torch.load` with `weights_only=True` would take all of its pickles. */
  weightsOnly?: boolean;
  /** Files that belong to this one, relative to its folder. */
  files?: readonly string[];
  labels?: number;
}

/** Findings that are listed of one file; more are counted. */
const findingsMax = 100;
const quotedMax = 120;

/** Quotes a text from outside in a message. */
export function quoted(text: string): string {
  const shown = text.length > quotedMax ? `${text.slice(0, quotedMax)}…` : text;
  return `"${shown}"`;
}

/** Collects what is found in one file. */
export class Report {
  readonly summary: Summary = {};
  readonly #findings: Finding[] = [];
  readonly #seen = new Set<string>();
  #worst = -1;
  #more = 0;

  /** Findings in the order in which they were made, the same one only once. */
  get findings(): readonly Finding[] {
    return this.#findings;
  }

  /** Findings beyond those that are listed. */
  get more(): number {
    return this.#more;
  }

  get verdict(): Verdict {
    const worst = severities[this.#worst];
    return worst === undefined || worst === 'notice' ? 'ok' : worst;
  }

  /**
   * Adds a finding.
   * @param where offset, member, tensor or key
   */
  add(rule: Rule, message: string, where?: string): void {
    const severity = rules[rule][0];
    this.#worst = Math.max(this.#worst, severities.indexOf(severity));
    const key = `${rule}\0${where ?? ''}\0${message}`;
    if (this.#seen.has(key)) return;
    const finding = { rule, severity, ...(where === undefined ? {} : { where }), message };
    if (this.#findings.length >= findingsMax) {
      this.#more++;
      this.#replaceLesser(finding);
      return;
    }
    this.#seen.add(key);
    this.#findings.push(finding);
  }

  /** Many small findings must not hide a bad one: where there is no room, it takes the place of a lesser one. */
  #replaceLesser(finding: Finding): void {
    const rank = severities.indexOf(finding.severity);
    const at = this.#findings.findLastIndex(({ severity }) => severities.indexOf(severity) < rank);
    if (at < 0) return;
    this.#findings.splice(at, 1);
    this.#findings.push(finding);
  }

  /** Takes over what was found in a part of the file. */
  include(part: Report, place: string): void {
    for (const { rule, message, where } of part.findings)
      this.add(rule, message, where === undefined ? place : `${place}, ${where}`);
    this.#more += part.more;
  }
}

/** Counts tensors for the summary of a file. */
export class TensorTally {
  readonly #dtypes = new Map<string, number>();
  #tensors = 0;
  #parameters = 0;

  /** Tensors that were counted. */
  get count(): number {
    return this.#tensors;
  }

  /** Counts a tensor of `elements` elements. */
  add(dtype: string, elements: number): void {
    this.#tensors++;
    // A header may claim any number; sums stay ones that JSON can hold.
    this.#parameters = Math.min(Number.MAX_SAFE_INTEGER, this.#parameters + elements);
    if (this.#dtypes.size < 100 || this.#dtypes.has(dtype))
      this.#dtypes.set(dtype, (this.#dtypes.get(dtype) ?? 0) + 1);
  }

  /** Writes the sums into a summary. */
  into(summary: Summary): void {
    summary.tensors = this.#tensors;
    summary.parameters = this.#parameters;
    summary.dtypes = Object.fromEntries([...this.#dtypes].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
