import type { ErrorCode } from '../../base/errors.ts';

/** What can be wrong with a store, a remote or a workspace; listed in docs/guide/verify.md. */
export type FindingKind =
  | 'pack-damaged'
  | 'pack-missing'
  | 'pack-quarantined'
  | 'index-damaged'
  | 'index-missing'
  | 'index-left'
  | 'recipe-damaged'
  | 'recipe-wrong'
  | 'recipe-incomplete'
  | 'recipe-quarantined'
  | 'content-missing'
  | 'registry-damaged'
  | 'audit-damaged'
  | 'root-damaged'
  | 'pointer-damaged'
  | 'history-unread'
  | 'foreign'
  | 'temporary';

/** One thing that was found. */
export interface Finding {
  readonly kind: FindingKind;
  /** `damage` makes the command fail; a `notice` harms nobody. */
  readonly severity: 'damage' | 'notice';
  readonly code: ErrorCode;
  /** The object, by its key; the same below the folder of a local store. */
  readonly key?: string;
  readonly message: string;
  /** What cannot be had as long as it stays so, by the names that people know. Bounded. */
  readonly harms: readonly string[];
  /** How many more are harmed. */
  readonly harmsMore: number;
  readonly hint?: string;
  /** What a repair did about it. */
  readonly repair?: string;
  /** Whether nothing is left of it. */
  readonly healed: boolean;
}

/** Names told of one finding. */
const harmsMax = 20;
/** Findings that are kept one by one; more are counted. */
const findingsMax = 1_000;

/** A finding while the work goes on. */
export class FindingNote implements Finding {
  readonly kind: FindingKind;
  severity: 'damage' | 'notice';
  readonly code: ErrorCode;
  readonly key?: string;
  message: string;
  readonly hint?: string;
  readonly harms: string[] = [];
  repair?: string;
  healed = false;
  readonly #known = new Set<string>();
  #more = 0;

  constructor({ kind, severity, code, key, message, hint }: NewFinding) {
    this.kind = kind;
    this.severity = severity;
    this.code = code;
    this.message = message;
    if (key !== undefined) this.key = key;
    if (hint !== undefined) this.hint = hint;
  }

  get harmsMore(): number {
    return this.#more;
  }

  /** Adds a name of what is harmed; what harms somebody is damage. */
  harm(name: string): void {
    this.severity = 'damage';
    if (this.#known.has(name)) return;
    if (this.harms.length >= harmsMax) {
      this.#more++;
      return;
    }
    this.#known.add(name);
    this.harms.push(name);
  }

  /** Returns it as plain data. */
  tell(): Finding {
    const { kind, severity, code, key, message, harms, harmsMore, hint, repair, healed } = this;
    return {
      kind,
      severity,
      code,
      ...(key === undefined ? {} : { key }),
      message,
      harms,
      harmsMore,
      ...(hint === undefined ? {} : { hint }),
      ...(repair === undefined ? {} : { repair }),
      healed,
    };
  }
}

/** What is given of a new finding. */
export type NewFinding = Pick<Finding, 'kind' | 'severity' | 'code' | 'message'> &
  Partial<Pick<Finding, 'key' | 'hint'>>;

/** All that was found in one run. Memory: bounded, by a thousand findings with twenty names each. */
export class Findings {
  readonly #notes: FindingNote[] = [];
  readonly #known = new Map<string, FindingNote>();
  #more = 0;
  #moreDamage = 0;

  /**
   * Takes a finding; the same one is taken once. Beyond a thousand they are counted only, and damage makes room
   * among notices.
   */
  add(given: NewFinding): FindingNote {
    return this.take(new FindingNote(given));
  }

  /** Takes a finding that was made before; see {@link add}. */
  take(note: FindingNote): FindingNote {
    const name = `${note.kind} ${note.key} ${note.message}`;
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    if (this.#notes.length >= findingsMax) {
      const notice = note.severity === 'damage' ? this.#lastNotice() : -1;
      if (notice === -1) {
        this.#more++;
        if (note.severity === 'damage') this.#moreDamage++;
        return note;
      }
      this.#notes.splice(notice, 1);
      this.#more++;
    }
    this.#notes.push(note);
    this.#known.set(name, note);
    return note;
  }

  #lastNotice(): number {
    return this.#notes.findLastIndex(({ severity }) => severity === 'notice');
  }

  get notes(): readonly FindingNote[] {
    return this.#notes;
  }

  /** How many were left out. */
  get more(): number {
    return this.#more;
  }

  /** How many of those are damage. */
  get moreDamage(): number {
    return this.#moreDamage;
  }
}
