// What a file imports.
// Owns:          finding every import, export-from and import() and the file that it names.
// Must not know: which imports are allowed.

import { posix } from "node:path";
import { isNode, type Node, type SourceFile, visitNodes } from "./source.ts";

export interface Import {
  readonly line: number;
  /** As written. */
  readonly specifier: string;
  /** Path from the root when it is ours; a package's door for our packages. */
  readonly target: string | undefined;
  /** Names that are taken from it; "*" for all. */
  readonly names: readonly string[];
}

const DOORS = new Map([
  ["@cordum/protocol", "packages/protocol/src/index.ts"],
  ["@cordum/sdk", "packages/sdk/src/index.ts"],
  ["@cordum/control-plane", "packages/control-plane/src/index.ts"],
  ["cordum", "packages/cli/src/index.ts"],
]);

export function importsOf(file: SourceFile): readonly Import[] {
  const found: Import[] = [];
  visitNodes(file, (node) => {
    const source = sourceOf(node);
    if (source === undefined) return;
    found.push({
      line: node.loc?.start.line ?? 1,
      specifier: source,
      target: targetOf(file.path, source),
      names: namesOf(node),
    });
  });
  return found;
}

function sourceOf(node: Node): string | undefined {
  const isImport =
    /^(ImportDeclaration|ExportNamedDeclaration|ExportAllDeclaration|ImportExpression|TSImportType)$/.test(node.type);
  if (isImport) return literal(node.source) ?? literal(node.argument);
  const isCall = node.type === "CallExpression" && isNode(node.callee) && node.callee.type === "Import";
  return isCall && Array.isArray(node.arguments) ? literal(node.arguments[0]) : undefined;
}

function literal(value: unknown): string | undefined {
  return isNode(value) && value.type === "StringLiteral" && typeof value.value === "string" ? value.value : undefined;
}

function namesOf(node: Node): readonly string[] {
  if (!Array.isArray(node.specifiers)) return ["*"];
  return node.specifiers.map((specifier: unknown) => {
    const imported = isNode(specifier) ? (specifier.imported ?? specifier.local) : undefined;
    const isWhole = isNode(specifier) && /Namespace|Default/.test(specifier.type);
    return !isWhole && isNode(imported) && typeof imported.name === "string" ? imported.name : "*";
  });
}

function targetOf(from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return posix.join(posix.dirname(from), specifier);
  const known = DOORS.get(specifier);
  if (known !== undefined) return known;
  const inside = [...DOORS].find(([name]) => specifier.startsWith(`${name}/`));
  return inside === undefined ? undefined : `${posix.dirname(inside[1])}/${specifier.slice(inside[0].length + 1)}`;
}
