// The sources as the house checks see them.
// Owns:          which files there are, their text, their syntax trees; what kind of file a path names.
// Must not know: any rule.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ParseResult, parse } from "@babel/parser";

export interface SourceFile {
  /** From the root of the repository, with `/`. */
  readonly path: string;
  readonly text: string;
}
/** Every file that could be committed, in order of path. */
export type Tree = readonly SourceFile[];

export interface Problem {
  readonly rule: string;
  readonly path: string;
  readonly line?: number;
  readonly says: string;
  readonly fix: string;
}

const IGNORED = new Set(["node_modules", "dist", ".git", ".cordum", "coverage", ".DS_Store"]);
const TEXT_BYTES_MAX = 2_000_000;

export function readTree(root: string): Tree {
  return [...walk(root, "")];
}

function* walk(root: string, folder: string): Generator<SourceFile> {
  const entries = readdirSync(join(root, folder), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (IGNORED.has(entry.name) || entry.name.endsWith(".log")) continue;
    if (entry.isDirectory()) yield* walk(root, path);
    if (!entry.isFile()) continue;
    const bytes = readFileSync(join(root, path));
    if (bytes.byteLength <= TEXT_BYTES_MAX && !bytes.includes(0)) yield { path, text: bytes.toString("utf8") };
  }
}

/** A tree for a test: path → text. */
export function treeOf(files: { readonly [path: string]: string }): Tree {
  return Object.entries(files).map(([path, text]) => ({ path, text }));
}

export function isCode(path: string): boolean {
  return /\.(ts|mts|mjs|js)$/.test(path) && !/\.d\.m?ts$/.test(path) && !/(^|\/)gen\//.test(path);
}

export function isTest(path: string): boolean {
  return path.endsWith(".test.ts") || path.startsWith("test/");
}

/** Code that only tests run: conformance suites and what tests share. */
export function isTestSupport(path: string): boolean {
  return /^packages\/[^/]+\/src\/(?:.*\/)?(conformance|testing)\//.test(path);
}

/** A node of the syntax tree, looked at without trusting its shape. */
export interface Node {
  readonly type: string;
  readonly loc?: { readonly start: { readonly line: number }; readonly end: { readonly line: number } } | null;
  readonly [field: string]: unknown;
}

const parsed = new WeakMap<SourceFile, ParseResult>();

/** Throws a SyntaxError with the path when the file cannot be parsed. */
export function syntaxOf(file: SourceFile): ParseResult {
  const known = parsed.get(file);
  if (known !== undefined) return known;
  const plugins = file.path.endsWith("ts") ? (["typescript", "explicitResourceManagement"] as const) : [];
  try {
    const tree = parse(file.text, { sourceType: "module", plugins: [...plugins], attachComment: false });
    parsed.set(file, tree);
    return tree;
  } catch (error) {
    throw new SyntaxError(`${file.path}: ${String(error)}`, { cause: error });
  }
}

export function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

/** Calls `visit` for each node, parents first, with the chain of parents, nearest last. */
export function visitNodes(file: SourceFile, visit: (node: Node, parents: readonly Node[]) => void): void {
  const parents: Node[] = [];
  const step = (value: unknown): void => {
    if (Array.isArray(value)) for (const entry of value) step(entry);
    else if (isNode(value)) {
      visit(value, parents);
      parents.push(value);
      for (const key of Object.keys(value)) if (!SKIPPED.has(key)) step(value[key]);
      parents.pop();
    }
  };
  step(syntaxOf(file).program);
}

const SKIPPED = new Set(["loc", "start", "end", "extra", "leadingComments", "trailingComments", "innerComments"]);
