import type { Program } from './client.ts';

/** What a program is made of. */
export interface RunParts {
  readonly name: string;
  readonly kind: string;
  /** The machine that it runs on. */
  readonly machine: string;
  /** The step at which it is killed; undefined for a program that is not. */
  readonly killedAt?: number | undefined;
  readonly onKill?: () => void;
}

/** One run of a program. */
export class Run implements Program {
  readonly name: string;
  readonly kind: string;
  readonly host: string;
  readonly #killedAt: number | undefined;
  readonly #onKill: () => void;
  #steps = 0;
  #numbers = 0;
  #isAlive = true;

  constructor({ name, kind, machine, killedAt, onKill = () => {} }: RunParts) {
    this.name = name;
    this.kind = kind;
    this.host = machine;
    this.#killedAt = killedAt;
    this.#onKill = onKill;
  }

  nextNumber(): number {
    return this.#numbers++;
  }

  isAlive(): boolean {
    return this.#isAlive;
  }

  onStep(): void {
    if (!this.#isAlive || ++this.#steps !== this.#killedAt) return;
    this.#isAlive = false;
    this.#onKill();
  }
}
