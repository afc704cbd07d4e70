import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { mapInOrder } from '../../../src/base/concurrency.ts';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
/** As many turns of the event loop as make every work end at another time than it was begun. */
const turnsOf = (n: number): number => ((n * 7) % 5) + 1;

async function wait(turns: number): Promise<void> {
  for (let n = 0; n < turns; n++) await turn();
}

describe('mapInOrder', () => {
  it('hands results out in the order of the items, whatever ends first', async () => {
    const ended: number[] = [];
    const got: number[] = [];
    const limits = { atOnce: 4, bytesOf: () => 1, bytesMax: 100 };
    for await (const n of mapInOrder(numbers(40), limits, async (item) => {
      await wait(turnsOf(item));
      ended.push(item);
      return item;
    })) {
      got.push(n);
    }
    expect(got).toEqual(numbers(40));
    expect(ended).not.toEqual(got);
  });

  it.each([
    [3, 1000, 3],
    [8, 30, 3],
    [8, 5, 1],
  ])('works on %i at once with %i bytes', async (atOnce, bytesMax, most) => {
    let busy = 0;
    let busyMost = 0;
    let held = 0;
    let heldMost = 0;
    const limits = { atOnce, bytesOf: () => 10, bytesMax };
    for await (const _ of mapInOrder(numbers(30), limits, async (item) => {
      busyMost = Math.max(busyMost, ++busy);
      heldMost = Math.max(heldMost, ++held);
      await wait(turnsOf(item));
      busy--;
    })) {
      // What is handed out counts until the next is asked for.
      await turn();
      held--;
    }
    expect(busyMost).toBe(most);
    expect(heldMost).toBeLessThanOrEqual(Math.max(1, Math.floor(bytesMax / 10)));
  });

  it('throws a failure in its turn, begins nothing after it, and waits for the rest', async () => {
    const begun: number[] = [];
    let busy = 0;
    const got: number[] = [];
    const limits = { atOnce: 4, bytesOf: () => 1, bytesMax: 1000 };
    const run = async (): Promise<void> => {
      for await (const n of mapInOrder(numbers(100), limits, async (item) => {
        begun.push(item);
        busy++;
        await wait(item === 6 ? 1 : 5);
        busy--;
        if (item === 6) throw new Error('the sixth');
        return item;
      })) {
        got.push(n);
      }
    };
    await expect(run()).rejects.toThrow('the sixth');
    expect(got).toEqual(numbers(6));
    expect(begun.length).toBeLessThan(12);
    expect(busy).toBe(0);
  });

  it('waits for what runs when nobody wants more', async () => {
    let busy = 0;
    const limits = { atOnce: 4, bytesOf: () => 1, bytesMax: 1000 };
    for await (const n of mapInOrder(numbers(100), limits, async (item) => {
      busy++;
      await wait(3);
      busy--;
      return item;
    })) {
      if (n === 2) break;
    }
    expect(busy).toBe(0);
  });
});
