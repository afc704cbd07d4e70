/** A checker for Stryker that leaves out all but each n-th change, evenly over the code. */
class Sample {
  #every = Number(process.env['MSTORE_MUTATION_EVERY'] ?? 1);

  async init() {}

  async check(mutants) {
    const verdict = ({ id }) =>
      Number(id) % this.#every === 0
        ? { status: 'passed' }
        : { status: 'compileError', reason: 'not drawn' };
    return Object.fromEntries(mutants.map((mutant) => [mutant.id, verdict(mutant)]));
  }
}

/** What Stryker looks for in a file of plugins. */
export const strykerPlugins = [{ kind: 'Checker', name: 'sample', injectableClass: Sample }];
