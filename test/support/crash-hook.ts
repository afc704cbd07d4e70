import * as path from 'node:path';
import type { Injector } from './crash-calls.ts';

/** Numbers file operations as the program asks Node for them, and makes them fail. */
export function hookInjector(): Injector {
  return { nodeArgs: ['--import', path.resolve(import.meta.dirname, 'crash-hook.js')], env: {} };
}
