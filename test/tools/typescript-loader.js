/**
 * Lets tools in plain JavaScript import helpers of the tests, which are TypeScript: a hook for
 * `register` of `node:module` that takes the types away. Newer versions of Node do that by themselves.
 */
import * as fs from 'node:fs/promises';
import { transform } from 'esbuild';

export async function load(url, context, nextLoad) {
  if (!url.endsWith('.ts')) return nextLoad(url, context);
  const text = await fs.readFile(new URL(url), 'utf8');
  const { code } = await transform(text, { loader: 'ts', sourcefile: url, target: 'node20' });
  return { format: 'module', shortCircuit: true, source: code };
}
