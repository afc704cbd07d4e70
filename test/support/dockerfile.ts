/** One instruction of a Dockerfile. */
export interface Instruction {
  /** In capitals: `RUN`. */
  readonly word: string;
  /** What stands behind it as `--name=value`, in order. */
  readonly flags: ReadonlyArray<readonly [name: string, value: string]>;
  /** All else; lines that went on are joined. */
  readonly rest: string;
}

/** What lies between one `FROM` and the next. */
export interface Stage {
  readonly name: string;
  readonly from: string;
  readonly instructions: readonly Instruction[];
}

/** A Dockerfile, taken apart. */
export interface Dockerfile {
  /** `ARG` before the first stage. */
  readonly args: readonly Instruction[];
  readonly stages: readonly Stage[];
}

/**
 * Takes a Dockerfile apart: what the files of this repository use of the syntax.
 * @throws Error where a line is no instruction
 */
export function parseDockerfile(text: string): Dockerfile {
  const args: Instruction[] = [];
  const stages: Array<Stage & { instructions: Instruction[] }> = [];
  for (const line of joinedLines(text)) {
    const instruction = parseInstruction(line);
    if (instruction.word === 'FROM') {
      const [, from = '', name] = /^(\S+)(?: AS (\S+))?$/.exec(instruction.rest) ?? [];
      if (from === '') throw new Error(`Not a stage: ${line}`);
      stages.push({ name: name ?? String(stages.length), from, instructions: [] });
      continue;
    }
    const stage = stages.at(-1);
    if (stage !== undefined) stage.instructions.push(instruction);
    else if (instruction.word === 'ARG') args.push(instruction);
    else throw new Error(`Before the first stage: ${line}`);
  }
  return { args, stages };
}

/** The lines without comments; those that end with a backslash go on. */
function joinedLines(text: string): string[] {
  const lines = text.split('\n').filter((line) => !/^\s*(?:#|$)/.test(line));
  return lines
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line !== '');
}

function parseInstruction(line: string): Instruction {
  const [, word = '', behind = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
  if (word === '') throw new Error(`Not an instruction: ${line}`);
  const flags: Array<[string, string]> = [];
  let rest = behind;
  for (;;) {
    const [whole, name, value] = /^--([a-z]+)=(\S+)\s+/.exec(rest) ?? [];
    if (whole === undefined) return { word, flags, rest };
    flags.push([name ?? '', value ?? '']);
    rest = rest.slice(whole.length);
  }
}

/** Puts values in place of `$NAME` and `${NAME}`; a name without a value is an error. */
export function substituted(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$(?:\{(\w+)\}|(\w+))/g, (whole, inBraces, plain) => {
    const value = values[inBraces ?? plain];
    if (value === undefined) throw new Error(`${whole} has no value`);
    return value;
  });
}

/** The pairs of `ENV`, `LABEL` and `ARG`: `A=1 B="two words"`, or `A` alone. */
export function pairsOf(rest: string): Array<readonly [name: string, value: string | undefined]> {
  return [...rest.matchAll(/([\w.]+)(?:=(?:"([^"]*)"|(\S*)))?/g)].map(
    ([, name = '', quoted, plain]) => [name, quoted ?? plain] as const,
  );
}

/** The words of `ENTRYPOINT` and `CMD` in the form of a list. */
export function wordsOf(rest: string): readonly string[] {
  return JSON.parse(rest) as string[];
}
