// Files and functions stay small.
// Owns:          the limits, and the list of exceptions, which may only shrink.
// Must not know: what the code does.
// Z1. A function has at most 70 lines, a file 400. Z2. Tests and conformance suites: 600 lines; what is passed to describe, it and
//     their like is a list of cases, not a function to understand.
// Z3. An exception states the size as it is: when the code shrinks the entry shrinks with it, and goes when it is no longer needed.

import {
  isCode,
  isNode,
  isTest,
  isTestSupport,
  type Node,
  type Problem,
  type SourceFile,
  type Tree,
  visitNodes,
} from "./source.ts";

export const LIMITS = { functionLines: 70, fileLines: 400, testFileLines: 600 } as const;

export interface Exception {
  readonly path: string;
  /** Missing: the whole file. */
  readonly function?: string;
  readonly lines: number;
  readonly because: string;
}

interface Oversize {
  readonly path: string;
  readonly function: string | undefined;
  readonly line: number;
  readonly lines: number;
  readonly limit: number;
}

export function checkSizes(tree: Tree, exceptions: readonly Exception[]): readonly Problem[] {
  const oversizes = tree.filter((file) => isCode(file.path)).flatMap(oversizesOf);
  const problems: Problem[] = [];
  for (const found of oversizes) {
    const excepted = exceptions.find((entry) => entry.path === found.path && entry.function === found.function);
    if (excepted === undefined || excepted.lines < found.lines) problems.push(tooLong(found));
    else if (excepted.lines > found.lines) problems.push(stale(excepted, `has only ${found.lines} lines now`));
  }
  for (const entry of exceptions) {
    const isNeeded = oversizes.some((found) => found.path === entry.path && found.function === entry.function);
    if (!isNeeded) problems.push(stale(entry, "is no longer needed"));
  }
  return problems;
}

function oversizesOf(file: SourceFile): readonly Oversize[] {
  const isLoose = isTest(file.path) || isTestSupport(file.path);
  const limit = isLoose ? LIMITS.testFileLines : LIMITS.fileLines;
  const lines = file.text.split("\n").length - (file.text.endsWith("\n") ? 1 : 0);
  const whole = lines > limit ? [{ path: file.path, function: undefined, line: 1, lines, limit }] : [];
  return [...whole, ...longFunctionsOf(file, isLoose)];
}

function longFunctionsOf(file: SourceFile, isLoose: boolean): readonly Oversize[] {
  const found: Oversize[] = [];
  visitNodes(file, (node, parents) => {
    if (!FUNCTION.test(node.type) || node.loc === undefined || node.loc === null) return;
    const lines = node.loc.end.line - node.loc.start.line + 1;
    if (lines <= LIMITS.functionLines || (isLoose && (isCaseCall(parents.at(-1)) || holdsOnlyCases(node)))) return;
    found.push({
      path: file.path,
      function: nameOf(node, parents),
      line: node.loc.start.line,
      lines,
      limit: LIMITS.functionLines,
    });
  });
  return found;
}

const FUNCTION =
  /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression|ObjectMethod|ClassMethod|ClassPrivateMethod)$/;
const CASE_LIST = /^(describe|it|test|suite|beforeAll|afterAll|beforeEach|afterEach)$/;

/** describe(…), describe.each(…)(…), it.skipIf(…)(…). */
function isCaseCall(call: unknown): boolean {
  if (!isNode(call) || call.type !== "CallExpression") return false;
  let callee: unknown = call.callee;
  while (isNode(callee) && callee.type !== "Identifier") callee = callee.callee ?? callee.object ?? callee.tag;
  return isNode(callee) && typeof callee.name === "string" && CASE_LIST.test(callee.name);
}

/** A function that does nothing but name cases: function queueCases(it) { it(…); it(…); }. */
function holdsOnlyCases(node: Node): boolean {
  const statements = isNode(node.body) && Array.isArray(node.body.body) ? node.body.body : [];
  return (
    statements.length > 0 &&
    statements.every((statement: unknown) => isNode(statement) && isCaseCall(statement.expression))
  );
}

function nameOf(node: Node, parents: readonly Node[]): string {
  const parent = parents.at(-1);
  for (const named of [node.id, node.key, parent?.type === "VariableDeclarator" ? parent.id : parent?.key]) {
    const inner = isNode(named) && named.type === "PrivateName" ? named.id : named;
    if (isNode(inner) && typeof inner.name === "string") return inner.name;
  }
  return "(anonymous)";
}

function tooLong(found: Oversize): Problem {
  const what = found.function === undefined ? "the file" : `function ${found.function}`;
  return {
    rule: "sizes",
    path: found.path,
    line: found.line,
    says: `${what} has ${found.lines} lines, ${found.limit} are allowed`,
    fix:
      found.function === undefined
        ? "split it by concept"
        : "keep the branches here and move what they compute into functions",
  };
}

function stale(entry: Exception, says: string): Problem {
  const what = entry.function === undefined ? entry.path : `${entry.function} in ${entry.path}`;
  return {
    rule: "sizes",
    path: "scripts/house/exceptions.json",
    says: `the exception for ${what} ${says}`,
    fix: "lower its number or delete the entry",
  };
}
