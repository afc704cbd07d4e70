import { type Outcome, type SimulationOptions, simulate } from './simulation.ts';

/** Runs that are spent on leaving commands out. */
const runsMax = 150;
/** Lines at the end of a trace that are shown whole; of those before them, what changes nothing is left out. */
const linesWhole = 60;

/**
 * Leaves out commands of a simulation that broke a promise, as long as one is still broken: halves of them
 * first, then fewer at a time (delta debugging, Zeller and Hildebrandt, IEEE TSE 28/2, 2002).
 */
export async function shorten(outcome: Outcome, options: SimulationOptions = {}): Promise<Outcome> {
  let best = outcome;
  let runs = 0;
  for (let size = Math.ceil(best.commands.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < best.commands.length && runs < runsMax; runs++) {
      const only = new Set(best.commands.filter((_, i) => i < at || i >= at + size));
      const shorter = await simulate(outcome.seed, { ...options, only });
      if (shorter.violation === undefined) at += size;
      else best = shorter;
    }
  }
  return best;
}

/** Says what a simulation did and which promise it broke, for people who are to find out why. */
export function report({ seed, trace, violation }: Outcome): string {
  const early = trace.slice(0, -linesWhole).filter((line) => !/ (?:get|stat|list) /.test(line));
  return [
    `Seed ${seed} breaks a promise: ${violation}`,
    'The shortest run that does, without early reads:',
    ...early,
    ...trace.slice(-linesWhole),
  ].join('\n');
}
