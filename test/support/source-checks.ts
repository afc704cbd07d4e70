import ts from 'typescript';

/** A rule broken in a source file, as one line for people. */
export type Problem = string;

/** A source file to be checked. */
export interface SourceText {
  /** Path from the top of the repository. */
  readonly path: string;
  readonly text: string;
}

function parse({ path, text }: SourceText): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
}

function lineOf(file: ts.SourceFile, position: number): number {
  return file.getLineAndCharacterOfPosition(position).line + 1;
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

/** The length of a function with a body, in lines, its doc comment left out. */
export interface FunctionLength {
  /** `path name`, or `path line N` where it has no name. */
  readonly id: string;
  readonly lines: number;
}

/** Measures all functions of a file, those inside others too. */
export function functionLengths(source: SourceText): FunctionLength[] {
  const file = parse(source);
  const found: FunctionLength[] = [];
  walk(file, (node) => {
    if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return;
    const first = lineOf(file, node.getStart(file));
    const name = node.name?.getText(file) ?? `line ${first}`;
    found.push({ id: `${source.path} ${name}`, lines: lineOf(file, node.end) - first + 1 });
  });
  return found;
}

/** Counts the lines of a file. */
export function fileLength({ text }: SourceText): number {
  return text === '' ? 0 : text.replace(/\n$/, '').split('\n').length;
}

/** Expressions that take something from outside which must be handed in, and what they take. */
const outsideNames: Readonly<Record<string, string>> = {
  'Date.now': 'time',
  'performance.now': 'time',
  'process.hrtime': 'time',
  'process.hrtime.bigint': 'time',
  'Math.random': 'chance',
  randomBytes: 'chance',
  randomInt: 'chance',
  randomUUID: 'chance',
  'process.env': 'environment',
  'process.argv': 'environment',
  'process.cwd': 'environment',
  'process.exit': 'process',
  'process.exitCode': 'process',
  'process.stdin': 'process',
  'process.stdout': 'process',
  'process.stderr': 'process',
  'process.on': 'process',
};

/** Finds where a file takes time, chance, environment or the process's own streams by itself. */
export function outsideUses(source: SourceText): Array<{ what: string; id: string }> {
  const file = parse(source);
  const found = new Map<string, string>();
  walk(file, (node) => {
    let name: string | undefined;
    if (ts.isPropertyAccessExpression(node)) name = node.getText(file);
    else if (ts.isIdentifier(node) && !ts.isImportSpecifier(node.parent)) name = node.text;
    else if (ts.isNewExpression(node) && node.expression.getText(file) === 'Date') {
      if ((node.arguments?.length ?? 0) === 0) found.set(`${source.path} new Date()`, 'time');
    }
    const what =
      name !== undefined && Object.hasOwn(outsideNames, name) ? outsideNames[name] : undefined;
    if (what !== undefined) found.set(`${source.path} ${name}`, what);
  });
  return [...found].map(([id, what]) => ({ id, what }));
}

/** Finds calls of `console`. */
export function consoleUses(source: SourceText): Problem[] {
  const file = parse(source);
  const found: Problem[] = [];
  walk(file, (node) => {
    if (!ts.isPropertyAccessExpression(node) || node.expression.getText(file) !== 'console') return;
    found.push(`${source.path}:${lineOf(file, node.getStart(file))} uses console`);
  });
  return found;
}

/** Finds comments that put work off without naming the issue that keeps it. */
export function unnumberedMarks({ path, text }: SourceText): Problem[] {
  return text.split('\n').flatMap((line, i) => {
    const mark = /\b(TODO|FIXME|XXX|HACK)\b(?!\s*\(?#\d)/.exec(line)?.[1];
    return mark === undefined ? [] : [`${path}:${i + 1} has ${mark} without an issue: ${mark} #12`];
  });
}

/** Lists exported functions, classes and interfaces without a doc comment, as `path name`. */
export function undocumented(source: SourceText): string[] {
  const file = parse(source);
  return file.statements.flatMap((statement) => {
    const wanted =
      ts.isFunctionDeclaration(statement) ||
      ts.isClassDeclaration(statement) ||
      ts.isInterfaceDeclaration(statement);
    if (!wanted) return [];
    const exported = statement.modifiers?.some((m) => m.kind === ts.SyntaxKind.ExportKeyword);
    if (!exported || ts.getJSDocCommentsAndTags(statement).length > 0) return [];
    return [`${source.path} ${statement.name?.text ?? 'default'}`];
  });
}

/** Names of files that break the naming rule: kebab-case, and no `index`. */
export function badFileNames(paths: readonly string[]): Problem[] {
  return paths
    .filter((path) => !/(?:^|\/)(?!index\.)[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z]+)+$/.test(path))
    .map((path) => `${path} is not kebab-case, or is a folder's index`);
}

/** Finds marks that leave tests out or run them alone. */
export function loneTests({ path, text }: SourceText): Problem[] {
  return text.split('\n').flatMap((line, i) => {
    const mark = /\b(?:it|test|describe)\.(only|skip|todo)\b/.exec(line)?.[1];
    return mark === undefined ? [] : [`${path}:${i + 1} has .${mark}`];
  });
}

/**
 * Compares what breaks a rule with the list of exceptions, both ways: an exception that is no longer
 * needed must go.
 */
export function compareExceptions(found: readonly string[], allowed: readonly string[]): Problem[] {
  return [
    ...found.filter((id) => !allowed.includes(id)).map((id) => `${id}: not allowed here`),
    ...allowed.filter((id) => !found.includes(id)).map((id) => `${id}: exception not needed`),
  ];
}

/** As {@link compareExceptions} for measures: an exception holds the present length and may shrink. */
export function compareLengths(
  found: ReadonlyArray<{ readonly id: string; readonly lines: number }>,
  max: number,
  allowed: Readonly<Record<string, number>>,
): Problem[] {
  const problems: Problem[] = [];
  const long = found.filter(({ lines }) => lines > max);
  for (const { id, lines } of long) {
    const bound = allowed[id] ?? max;
    if (lines > bound) problems.push(`${id} has ${lines} lines, at most ${bound} are allowed`);
    else if (lines < bound) problems.push(`${id} shrank to ${lines} lines: lower its exception`);
  }
  for (const id of Object.keys(allowed)) {
    if (!long.some((each) => each.id === id)) problems.push(`${id}: exception not needed`);
  }
  return problems;
}

// Put together here, so that this file does not hold what it looks for. `someone` is nobody.
const personalPath = new RegExp(
  ['/ho' + 'me/(?!someone\\b)[a-z]', '/Us' + 'ers/[A-Za-z]', '[A-Z]:\\\\+Us' + 'ers\\\\'].join('|'),
);
const registryHost =
  /https?:\/\/[^\s"'/]*(?:registry|npmjs|yarnpkg|artifactory|nexus|verdaccio|jfrog)[^\s"'/]*/i;

/** Finds paths of somebody's machine, and hosts of package registries. */
export function machineTraces({ path, text }: SourceText, top: string): Problem[] {
  return text.split('\n').flatMap((line, i) => {
    const where = `${path}:${i + 1}`;
    const problems: Problem[] = [];
    if (personalPath.test(line) || line.includes(`${top}/`))
      problems.push(`${where} holds an absolute path of a machine`);
    if (registryHost.test(line)) problems.push(`${where} names a package registry`);
    return problems;
  });
}
