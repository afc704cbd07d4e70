import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import ts from 'typescript';
import { tempFolder } from './temp.ts';

const source = path.resolve(import.meta.dirname, '../../src');

/**
 * Starts another process that runs `script`, an ES module which may import `./remote/*.js` and
 * `./base/*.js`: the sources as they are now, stripped of their types, so that the test needs no build.
 * The process is killed with the test at the latest.
 */
export function startRemoteProcess(script: string, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [writeProgram(script), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return child;
}

/** Resolves to all that the process printed, once it has ended; rejects when it failed. */
export async function outputOf(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`The process ended with ${code}`)),
    );
  });
  return text;
}

function writeProgram(script: string): string {
  const folder = tempFolder();
  fs.writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }');
  for (const layer of ['base', 'remote']) {
    fs.mkdirSync(path.join(folder, layer));
    for (const name of fs.readdirSync(path.join(source, layer))) {
      if (!name.endsWith('.ts')) continue;
      const text = fs.readFileSync(path.join(source, layer, name), 'utf8');
      const { outputText } = ts.transpileModule(text, {
        compilerOptions: {
          target: ts.ScriptTarget.ES2023,
          module: ts.ModuleKind.ESNext,
          verbatimModuleSyntax: true,
          rewriteRelativeImportExtensions: true,
        },
      });
      fs.writeFileSync(path.join(folder, layer, name.replace(/\.ts$/, '.js')), outputText);
    }
  }
  const program = path.join(folder, 'program.js');
  fs.writeFileSync(program, script);
  return program;
}
