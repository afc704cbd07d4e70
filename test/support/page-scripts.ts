import * as fs from 'node:fs';
import * as path from 'node:path';

const page = path.resolve(import.meta.dirname, '../../docs/guide/python.md');

/** The scripts of the page about Python, by the names of its examples. */
export function pageScripts(): ReadonlyMap<string, string> {
  const text = fs.readFileSync(page, 'utf8');
  const found = [...text.matchAll(/^```python example (\S+)\n([\s\S]*?)^```$/gm)];
  return new Map(found.map(([, name = '', script = '']) => [name, script]));
}

/** One of them. */
export function pageScript(name: string): string {
  const script = pageScripts().get(name);
  if (script !== undefined) return script;
  throw new Error(`The page about Python has no example ${name}`);
}
