import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

/** A step of a workflow or of a composite action. */
export interface Step {
  readonly id?: string;
  readonly name?: string;
  readonly if?: string;
  readonly uses?: string;
  readonly with?: Readonly<Record<string, string>>;
  readonly run?: string;
  readonly shell?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** What steps see, and leave for those that follow. */
export interface Runner {
  /** Folder that commands run in. */
  readonly cwd: string;
  /** Folder for the files of the runner, and its `RUNNER_TEMP`. */
  readonly temp: string;
  /** Variables of all steps; those that steps add come to them. */
  readonly env: Record<string, string>;
  /** Values of expressions, such as `github.ref_name`. */
  readonly values: Record<string, string>;
  /** What was printed. */
  printed: string;
  /** What was written to the summary of the job. */
  summary: string;
  /** Takes a step with `uses`; throws where it knows nothing of it. */
  readonly uses: (step: Step, runner: Runner) => Promise<void>;
}

/** Makes a {@link Runner} with nothing but what is given. */
export function makeRunner(given: Omit<Runner, 'printed' | 'summary'>): Runner {
  fs.mkdirSync(given.temp, { recursive: true });
  return { ...given, printed: '', summary: '' };
}

/**
 * Runs steps one after the other, as a runner of GitHub does: shells with its options, the files that steps
 * write to, expressions put in before. An expression that has no value is an error.
 * @returns the exit code of the step that failed, after which none ran but those that always do; 0 otherwise
 */
export async function runSteps(steps: readonly Step[], runner: Runner): Promise<number> {
  let failed = 0;
  for (const step of steps) {
    const always = step.if?.includes('always()') ?? false;
    if (failed !== 0 && !always) continue;
    if (step.if !== undefined && !always && !holds(step.if, runner)) continue;
    if (step.run === undefined) await runner.uses(step, runner);
    else failed ||= await runShell(step, step.run, runner);
  }
  return failed;
}

/** Puts the values of expressions in their places. */
export function evaluated(text: string, { values }: Pick<Runner, 'values'>): string {
  return text.replaceAll(/\$\{\{\s*(.*?)\s*\}\}/g, (_, expression: string) => {
    const value = values[expression];
    if (value === undefined) throw new Error(`${expression} has no value`);
    return value;
  });
}

function holds(condition: string, runner: Runner): boolean {
  const [, expression = '', text] = /^\$\{\{ (\S+) == '(.*)' \}\}$/.exec(condition) ?? [];
  return evaluated(`\${{ ${expression} }}`, runner) === text;
}

async function runShell(step: Step, script: string, runner: Runner): Promise<number> {
  const place = fs.mkdtempSync(path.join(runner.temp, 'step-'));
  const files = Object.fromEntries(
    ['GITHUB_OUTPUT', 'GITHUB_ENV', 'GITHUB_PATH', 'GITHUB_STEP_SUMMARY'].map((name) => {
      const file = path.join(place, name);
      fs.writeFileSync(file, '');
      return [name, file];
    }),
  ) as Record<string, string>;
  const env: Record<string, string> = { ...runner.env, RUNNER_TEMP: runner.temp, ...files };
  for (const [name, value] of Object.entries(step.env ?? {})) env[name] = evaluated(value, runner);
  const scriptFile = path.join(place, 'script.sh');
  fs.writeFileSync(scriptFile, evaluated(script, runner));
  const strict = step.shell === 'bash' ? ['--noprofile', '--norc', '-eo', 'pipefail'] : ['-e'];
  const child = spawn('bash', [...strict, scriptFile], { cwd: runner.cwd, env });
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part: string) => {
      runner.printed += part;
    });
  const code = await new Promise<number>((resolve) => {
    child.once('close', (ended) => resolve(ended ?? -1));
  });
  const linesOf = (name: string): string[] =>
    fs
      .readFileSync(files[name] ?? '', 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  for (const line of linesOf('GITHUB_PATH')) runner.env['PATH'] = `${line}:${runner.env['PATH']}`;
  for (const line of linesOf('GITHUB_ENV')) runner.env[nameOf(line)] = textOf(line);
  for (const line of linesOf('GITHUB_OUTPUT'))
    runner.values[`steps.${step.id}.outputs.${nameOf(line)}`] = textOf(line);
  runner.summary += fs.readFileSync(files['GITHUB_STEP_SUMMARY'] ?? '', 'utf8');
  return code;
}

function nameOf(line: string): string {
  return line.slice(0, line.indexOf('='));
}

function textOf(line: string): string {
  return line.slice(line.indexOf('=') + 1);
}
