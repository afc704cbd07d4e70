import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { scratchFolder } from '../support/flow-scratch.ts';
import { gitTestEnv } from '../support/git.ts';
import { externalMatMul, matrixBytes } from '../support/runnable-onnx.ts';

const top = fileURLToPath(new URL('../..', import.meta.url));
let folder: string;

/** A program's folder in which mstore is installed. */
beforeEach(() => {
  folder = scratchFolder();
  fs.mkdirSync(path.join(folder, 'node_modules'));
  fs.symlinkSync(top, path.join(folder, 'node_modules/mstore'), 'junction');
});

/** Runs a program of the folder; returns what it prints, with what it warns of. */
function run(name: string, text: string): { readonly out: string; readonly warned: string } {
  fs.writeFileSync(path.join(folder, name), text);
  const env = { ...gitTestEnv, MSTORE_CACHE: path.join(folder, 'cache') };
  const ran = spawnSync(process.execPath, [name], { cwd: folder, env, encoding: 'utf8' });
  if (ran.status !== 0) throw new Error(`${name} ended with ${ran.status}\n${ran.stderr}`);
  return { out: ran.stdout, warned: ran.stderr };
}

const useIt = `
  const model = await loadModel('sum', 'v1');
  const { y } = await model.predict({ x: { data: new Float32Array([1, 1]), dims: [1, 2] } });
  await model.close();
  console.log(model.info.runtime, ...y.data);
`;

describe('the library', () => {
  it('has the same for import and for require, which warns of nothing', () => {
    const names = '.map(([name, value]) => typeof value + " " + name).sort().join()';
    const imported = run(
      'a.mjs',
      `import * as all from 'mstore'; console.log(Object.entries(all)${names})`,
    );
    const required = run('a.cjs', `console.log(Object.entries(require('mstore'))${names})`);
    expect(required).toEqual(imported);
    expect(imported.warned).toBe('');
    for (const name of [
      'loadModel',
      'resolveModel',
      'isModelAvailable',
      'listAvailableModels',
      'getModelInfo',
      'loadLabels',
    ])
      expect(imported.out.split(','), name).toContain(`function ${name}`);
  });

  it('loads a model in programs of both kinds', () => {
    const mstore = (...args: string[]) =>
      execFileSync(process.execPath, [path.join(top, 'bin/mstore.js'), ...args], {
        cwd: folder,
        env: gitTestEnv,
        stdio: 'pipe',
      });
    mstore('init', '--no-git');
    fs.mkdirSync(path.join(folder, 'sum'));
    fs.writeFileSync(path.join(folder, 'sum/m.onnx'), externalMatMul('w'));
    fs.writeFileSync(path.join(folder, 'sum/w'), matrixBytes);
    mstore('add', 'sum');
    mstore('register', 'sum@v1', 'sum');
    const imported = run('b.mjs', `import { loadModel } from 'mstore';${useIt}`);
    const required = run(
      'b.cjs',
      `const { loadModel } = require('mstore');(async () => {${useIt}})();`,
    );
    expect(imported).toEqual({ out: 'onnxruntime-web 4 6\n', warned: '' });
    expect(required).toEqual(imported);
  });

  it('has types for programs of both kinds, without any runtime', () => {
    const program = `
      import { EventEmitter } from 'node:events';
      import { isMstoreError, loadModel, type LoadedModel, type ModelEventMap } from 'mstore';
      export async function scores(data: Float32Array): Promise<string | undefined> {
        const events = new EventEmitter<ModelEventMap>();
        events.on('failed', ({ phase, error }) => console.log(phase, isMstoreError(error) && error.code));
        const model: LoadedModel = await loadModel('ocr', 'v1', { events });
        const results = await model.predict({ x: { data, dims: [1, data.length] } });
        const best: number = results['y']?.dims.length ?? 0;
        return model.labels?.[best];
      }
      // @ts-expect-error a version is a text
      export const wrong = (): unknown => loadModel('ocr', 1);
    `;
    const files = ['c.mts', 'c.cts'];
    for (const name of files) fs.writeFileSync(path.join(folder, name), program);
    const compiler = path.join(top, 'node_modules/typescript/bin/tsc');
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022'];
    const types = ['--types', 'node', '--typeRoots', path.join(top, 'node_modules/@types')];
    const args = [compiler, ...options, '--skipLibCheck', ...types, ...files];
    const checked = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
    expect(checked.stdout).toBe('');
    expect(checked.status).toBe(0);
  });
});
