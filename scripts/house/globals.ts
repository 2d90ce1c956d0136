// Time, chance, timers and the environment only through their adapters.
// Owns:          what is forbidden, and the list of places where it is allowed, with the reason.
// Must not know: the adapters' contents.
// Tests, conformance suites and generated code are exempt: they do not run in a simulation or a deployment.

import { importsOf } from "./imports.ts";
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

interface Allowance {
  /** A file, or a folder with a `/` at its end. */
  readonly at: string;
  readonly names: readonly string[] | "all";
  readonly because: string;
}

export const ALLOWANCES: readonly Allowance[] = [
  {
    at: "packages/control-plane/src/adapters/system/",
    names: "all",
    because: "the adapter of time, chance and environment",
  },
  {
    at: "packages/sdk/src/runtime.ts",
    names: "all",
    because: "the SDK's own adapter: it runs in other people's processes",
  },
  { at: "packages/cli/", names: ["process.env"], because: "a command reads its settings from the shell that calls it" },
  { at: "packages/cli/src/runtime.ts", names: "all", because: "the command's own adapter" },
  {
    at: "packages/control-plane/src/simulation/turn.ts",
    names: ["setImmediate"],
    because: "promises settle between two steps",
  },
  {
    at: "packages/control-plane/src/simulation/sealed-world.ts",
    names: "all",
    because: "takes these away while a simulation runs",
  },
  {
    at: "packages/control-plane/src/simulation/main.ts",
    names: ["performance.now"],
    because: "reports steps per second",
  },
  {
    at: "packages/control-plane/src/simulation/toy/counter.ts",
    names: ["Date.now"],
    because: "a planted bug that must be found",
  },
  { at: "scripts/", names: "all", because: "programs of the repository, not of the product" },
  { at: "bench/", names: "all", because: "measures real time" },
  { at: "examples/", names: "all", because: "shows what users write" },
  { at: "vitest.config.ts", names: "all", because: "configures tests" },
];

const CALLS = new Set(["setTimeout", "setInterval", "setImmediate"]);
const MEMBERS = new Map<string, ReadonlySet<string>>([
  ["Math", new Set(["random"])],
  ["performance", new Set(["now", "timeOrigin"])],
  ["process", new Set(["env", "hrtime", "uptime"])],
  ["crypto", new Set(["randomUUID", "getRandomValues", "subtle"])],
  ["AbortSignal", new Set(["timeout"])],
  ["Atomics", new Set(["wait", "waitAsync"])],
]);
/** Of Date only what computes with a given moment. */
const DATE_ALLOWED = new Set(["parse", "UTC", "prototype"]);
const IMPORTS = new Map<string, ReadonlySet<string>>([
  [
    "node:crypto",
    new Set(["randomUUID", "randomBytes", "randomInt", "randomFill", "randomFillSync", "getRandomValues", "webcrypto"]),
  ],
  ["node:process", new Set(["env", "hrtime", "uptime", "*"])],
  ["node:perf_hooks", new Set(["performance", "*"])],
]);
const MODULES = /^(node:)?timers(\/promises)?$/;

export function checkGlobals(tree: Tree): readonly Problem[] {
  return tree.filter((file) => isCode(file.path) && !isTest(file.path) && !isTestSupport(file.path)).flatMap(checkFile);
}

function checkFile(file: SourceFile): readonly Problem[] {
  const used: { readonly name: string; readonly line: number }[] = [];
  for (const { specifier, names, line } of importsOf(file)) {
    const module = specifier.startsWith("node:") ? specifier : `node:${specifier}`;
    if (MODULES.test(specifier)) used.push({ name: specifier, line });
    for (const name of names) if (IMPORTS.get(module)?.has(name)) used.push({ name: `${name} of ${module}`, line });
  }
  visitNodes(file, (node, parents) => {
    const name = forbiddenUse(node, parents);
    if (name !== undefined) used.push({ name, line: node.loc?.start.line ?? 1 });
  });
  return used
    .filter(({ name }) => !isAllowed(file.path, name))
    .map(({ name, line }) => ({
      rule: "globals",
      path: file.path,
      line,
      says: `uses ${name}`,
      fix: "ask the Clock (or take it as an argument); the adapters are in scripts/house/globals.ts",
    }));
}

function isAllowed(path: string, name: string): boolean {
  return ALLOWANCES.some(
    ({ at, names }) =>
      (at.endsWith("/") ? path.startsWith(at) : path === at) && (names === "all" || names.includes(name)),
  );
}

function forbiddenUse(node: Node, parents: readonly Node[]): string | undefined {
  if (node.type !== "Identifier" || typeof node.name !== "string") return undefined;
  const [outer, parent] = [parents.at(-2), parents.at(-1)];
  if (parent === undefined || !isReference(node, parent)) return undefined;
  if (parent.property === node && outer !== undefined) return forbiddenName(node.name, parent, outer); // globalThis.process.env
  return forbiddenName(node.name, node, parent);
}

/** `node` is the global, by itself or as a member of globalThis; `parent` is what is done with it. */
function forbiddenName(name: string, node: Node, parent: Node): string | undefined {
  if (CALLS.has(name)) return name;
  if (name === "Date") return dateUse(node, parent);
  const members = MEMBERS.get(name);
  if (members === undefined) return undefined;
  const taken = memberNames(node, parent);
  if (taken === "none") return undefined; // a parameter may have such a name; an alias of the global is left to the reader
  const found = taken === "any" ? "[…]" : taken.find((member) => members.has(member));
  return found === undefined ? undefined : `${name}.${found}`;
}

/** False for property names, keys, types and names that are declared or imported. */
function isReference(node: Node, parent: Node): boolean {
  if (parent.type === "MemberExpression" || parent.type === "OptionalMemberExpression") {
    return parent.object === node || parent.computed === true || isGlobalThis(parent.object);
  }
  if (/^(ObjectProperty|ObjectMethod|ClassMethod|ClassProperty)$/.test(parent.type))
    return parent.value === node && parent.key !== node;
  return (
    !/^(TS|Import|Export|ClassPrivate)/.test(parent.type) ||
    /^TS(AsExpression|SatisfiesExpression|NonNullExpression)$/.test(parent.type)
  );
}

function isGlobalThis(node: unknown): boolean {
  return isNode(node) && node.type === "Identifier" && (node.name === "globalThis" || node.name === "global");
}

function dateUse(node: Node, parent: Node): string | undefined {
  const names = memberNames(node, parent);
  if (names === "any") return "Date.[…]";
  if (names !== "none") return names.every((name) => DATE_ALLOWED.has(name)) ? undefined : `Date.${names.join(", ")}`;
  const isConstruction = parent.type === "NewExpression" && parent.callee === node;
  if (isConstruction && Array.isArray(parent.arguments) && parent.arguments.length > 0) return undefined;
  const isTypeTest = parent.type === "BinaryExpression" && parent.operator === "instanceof";
  return isTypeTest ? undefined : "Date without a moment";
}

/** The members that are taken from `node`: "any" when they are computed, "none" when it is used by itself. */
function memberNames(node: Node, parent: Node): readonly string[] | "any" | "none" {
  const isMember = /^(Optional)?MemberExpression$/.test(parent.type);
  if (isMember && parent.object === node) return parent.computed === true ? "any" : propertyName(parent.property);
  const isPattern =
    parent.type === "VariableDeclarator" &&
    parent.init === node &&
    isNode(parent.id) &&
    parent.id.type === "ObjectPattern";
  if (!isPattern || !isNode(parent.id) || !Array.isArray(parent.id.properties)) return "none";
  return parent.id.properties.flatMap((property: unknown) => (isNode(property) ? propertyName(property.key) : []));
}

function propertyName(property: unknown): readonly string[] {
  return isNode(property) && typeof property.name === "string" ? [property.name] : [];
}
