import type { Clock, Random } from '../base/clock.ts';
import { ownerIsGone, thisOwner } from '../base/host.ts';
import type { RemoteCallOptions, RemotePruner } from '../remote/remote.ts';
import { probesPrefix } from '../store/keys.ts';

/** Objects of ended checks that one check takes away; the rest is left to the next. */
const clearedMax = 1000;

const namePattern =
  /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-([0-9a-f]{12})-(\d{1,10})-[0-9a-f]{8}-/;

/**
 * The objects with which one check tries a remote out. Their names tell when they were made and by which
 * process, so that what a killed check left can be told from what another one is using.
 */
export class Probes {
  readonly #remote: RemotePruner;
  readonly #clock: Clock;
  readonly #base: string;
  readonly #made = new Set<string>();

  constructor(remote: RemotePruner, clock: Clock, random: Random) {
    const stamp = new Date(clock.now()).toISOString().replace(/[-:]|\.\d+/g, '');
    const { host, pid } = thisOwner();
    this.#remote = remote;
    this.#clock = clock;
    this.#base = `${probesPrefix}${stamp}-${host}-${pid}-${random.hex(4)}-`;
  }

  /** Names an object that is about to be made. */
  key(what: string): string {
    const key = this.#base + what;
    this.#made.add(key);
    return key;
  }

  /** Objects that may be there because of this check. */
  get left(): number {
    return this.#made.size;
  }

  /** Deletes all of this check. */
  async remove(options: RemoteCallOptions = {}): Promise<void> {
    for (const key of [...this.#made]) {
      await this.#remote.delete(key, options);
      this.#made.delete(key);
    }
  }

  /**
   * Deletes what checks left that have surely ended: those of this host whose process is gone, and those of
   * others after a day.
   * @returns how many objects that were
   */
  async clearDead(options: RemoteCallOptions): Promise<number> {
    const dead: string[] = [];
    for await (const { key } of this.#remote.list(probesPrefix, options)) {
      if (this.#isDead(key)) dead.push(key);
      if (dead.length === clearedMax) break;
    }
    for (const key of dead) await this.#remote.delete(key, options);
    return dead.length;
  }

  #isDead(key: string): boolean {
    const match = namePattern.exec(key.slice(probesPrefix.length));
    if (match === null) return false;
    const [, year, month, day, hour, minute, second, host = '', pid] = match;
    const made = Date.UTC(
      Number(year),
      Number(month) - 1,
      Number(day),
      Number(hour),
      Number(minute),
      Number(second),
    );
    return ownerIsGone({ host, pid: Number(pid) }, this.#clock.now() - made);
  }
}
