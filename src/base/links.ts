import { limits } from './limits.ts';
import { pathProblem } from './names.ts';

/** Why a link cannot be kept. */
export interface LinkProblem {
  readonly kind: 'leaves' | 'loops' | 'malformed';
  readonly what: string;
}

const leaves: LinkProblem = { kind: 'leaves', what: 'leaves the directory' };
const loops: LinkProblem = { kind: 'loops', what: 'is part of a loop of links' };

/** Where a link ends, and how many further links lead there. */
interface End extends Spot {
  readonly hops: number;
}

/** A place in a tree: so many names below one of its nodes, on which no link is. */
interface Spot {
  readonly node: Node;
  readonly beyond: number;
}

/** A link, or a directory above links. */
interface Node {
  readonly parent: Node | undefined;
  readonly children: Map<string, Node>;
  target: string | undefined;
  /** What is known of a link; `open` while it is being followed. */
  end: End | LinkProblem | 'open' | undefined;
}

/** A link that is being followed. */
interface Walk {
  readonly link: Node;
  readonly target: string;
  /** Where the next name of the target starts. */
  at: number;
  node: Node;
  beyond: number;
  hops: number;
}

/**
 * The links of a tree, followed as the system does: component by component, through each other. A check of
 * the text alone would miss `a/b/../..` where `a/b` is itself a link. Each link is followed once, so that all
 * of them take time by the bytes of their paths and targets.
 */
export class TreeLinks {
  readonly #root: Node = newNode(undefined);

  /** @param links targets by the paths of the links */
  constructor(links: ReadonlyMap<string, string>) {
    for (const [path, target] of links) this.#node(path).target = target;
  }

  #node(path: string): Node {
    let node = this.#root;
    for (const name of path.split('/')) {
      const child = node.children.get(name) ?? newNode(node);
      node.children.set(name, child);
      node = child;
    }
    return node;
  }

  /** Says why a link of the tree cannot be kept; undefined where it can. */
  problem(path: string): LinkProblem | undefined {
    const link = this.#node(path);
    const malformed = formProblem(link.target ?? '');
    if (malformed !== undefined) return malformed;
    link.end ??= follow(link);
    return typeof link.end === 'object' && 'kind' in link.end ? link.end : undefined;
  }
}

function newNode(parent: Node | undefined): Node {
  return { parent, children: new Map(), target: undefined, end: undefined };
}

function walkOf(link: Node): Walk {
  link.end = 'open';
  const node = link.parent ?? link;
  return { link, target: link.target ?? '', at: 0, node, beyond: 0, hops: 0 };
}

/** Follows a link, and those that it leads through, without recursion: they may be as many as there are. */
function follow(first: Node): End | LinkProblem {
  const walks = [walkOf(first)];
  for (;;) {
    const walk = walks.at(-1) as Walk;
    const step = walk.at > walk.target.length ? endOf(walk) : nextStep(walk);
    if (step === undefined) continue;
    if ('target' in step) {
      walks.push(walkOf(step));
      continue;
    }
    if ('kind' in step) {
      // All of them lead through the one that fails.
      for (const { link } of walks) link.end = step;
      return step;
    }
    walk.link.end = step;
    walks.pop();
    const above = walks.at(-1);
    if (above === undefined) return step;
    above.at = above.target.lastIndexOf('/', above.at - 2) + 1;
  }
}

function endOf({ node, beyond, hops }: Walk): End {
  return { node, beyond, hops };
}

/** Takes one name of the target; returns a link that has to be followed first, or why this one fails. */
function nextStep(walk: Walk): Node | LinkProblem | undefined {
  const slash = walk.target.indexOf('/', walk.at);
  const end = slash < 0 ? walk.target.length : slash;
  const name = walk.target.slice(walk.at, end);
  walk.at = end + 1;
  if (name === '' || name === '.') return undefined;
  if (name === '..') return stepUp(walk);
  const child = walk.beyond === 0 ? walk.node.children.get(name) : undefined;
  if (child === undefined) walk.beyond++;
  else if (child.target === undefined) walk.node = child;
  else return stepThrough(walk, child);
  return undefined;
}

function stepUp(walk: Walk): LinkProblem | undefined {
  if (walk.beyond > 0) walk.beyond--;
  else if (walk.node.parent === undefined) return leaves;
  else walk.node = walk.node.parent;
  return undefined;
}

function stepThrough(walk: Walk, link: Node): Node | LinkProblem | undefined {
  if (link.target?.startsWith('/')) return leaves;
  if (link.end === 'open') return loops;
  if (link.end === undefined) return link;
  if ('kind' in link.end) return link.end;
  walk.hops += 1 + link.end.hops;
  if (walk.hops > limits.linkHopsMax) return loops;
  walk.node = link.end.node;
  walk.beyond = link.end.beyond;
  return undefined;
}

function formProblem(target: string): LinkProblem | undefined {
  if (target === '') return { kind: 'malformed', what: 'has an empty target' };
  if (target.startsWith('/')) return leaves;
  if (Buffer.byteLength(target) > limits.pathBytesMax) {
    return { kind: 'malformed', what: 'has a target that is too long' };
  }
  for (const name of target.split('/')) {
    if (name === '' || name === '.' || name === '..') continue;
    const problem = pathProblem(name);
    if (problem !== undefined) return { kind: 'malformed', what: `has a target with ${problem}` };
  }
  return undefined;
}

/**
 * Finds where a path of a tree ends when its links are followed, as the system does.
 * @param links targets by the paths of the links, none of which leaves the tree or loops
 * @returns the path, empty for the top; undefined where it leaves the tree or follows too many links
 */
export function followLinks(links: ReadonlyMap<string, string>, path: string): string | undefined {
  const names = path.split('/').reverse();
  const walked: string[] = [];
  let hops = 0;
  for (let name = names.pop(); name !== undefined; name = names.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (walked.pop() === undefined) return undefined;
      continue;
    }
    const target = links.get([...walked, name].join('/'));
    if (target === undefined) {
      walked.push(name);
      continue;
    }
    if (++hops > limits.linkHopsMax || target.startsWith('/')) return undefined;
    names.push(...target.split('/').reverse());
  }
  return walked.join('/');
}
