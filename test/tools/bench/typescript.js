/** Lets the bench import helpers of the tests, which are TypeScript. */
import { register } from 'node:module';

let registered = false;

/** To be called before such an import, which the rest of the bench does without. */
export function useTypeScript() {
  if (!registered) register('../typescript-loader.js', import.meta.url);
  registered = true;
}
