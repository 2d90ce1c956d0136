// YAML text as a tree of plain nodes with places.
// Owns:          the limits of untrusted YAML, duplicate keys, aliases.
// Must not know: what the document means.
// Y1. YAML 1.2 core whatever a %YAML directive says: `yes` and `on` are strings.
// Y2. Aliases are followed, but what they expand to counts: a document has at most `nodesMax` nodes and `depthMax` levels.
// Y3. Duplicate keys are faults. Found here with a map, because the library compares every key with every other.

import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  type YAMLMap,
} from "yaml";
import type { Findings, Place } from "./findings.ts";

export const YAML_LIMITS = { bytesMax: 1_048_576, depthMax: 32, nodesMax: 200_000 } as const;

export type TreeNode = MapNode | ListNode | ScalarNode;
export interface MapNode {
  readonly kind: "map";
  readonly at: Place;
  readonly entries: ReadonlyMap<string, { readonly keyAt: Place; readonly node: TreeNode }>;
}
export interface ListNode {
  readonly kind: "list";
  readonly at: Place;
  readonly items: readonly TreeNode[];
}
export interface ScalarNode {
  readonly kind: "scalar";
  readonly at: Place;
  readonly value: string | number | boolean | null;
}

/** The first document of the text, or undefined when it has faults of syntax or size, which are then among the findings. */
export function parseYamlTree(text: string, findings: Findings): TreeNode | undefined {
  if (Buffer.byteLength(text) > YAML_LIMITS.bytesMax) {
    findings.fault(START, "", `larger than ${YAML_LIMITS.bytesMax} bytes`);
    return undefined;
  }
  const lines = new LineCounter();
  const documents = parseDocuments(text, lines, findings);
  const document = documents?.[0];
  if (documents === undefined) return undefined;
  if (document === undefined) return { kind: "scalar", at: START, value: null };
  const second = documents[1];
  if (second !== undefined) {
    const at = placeAt(lines, second.range?.[0] ?? 0);
    findings.warn("extra_documents", at, "", "only the first document of the file is used");
  }
  return treeOf(document, lines, findings);
}

const START: Place = { line: 1, column: 1 };
const TOO_DEEP = "nested too deeply";

function parseDocuments(text: string, lines: LineCounter, findings: Findings): readonly Document[] | undefined {
  try {
    const parsed = parseAllDocuments(text, {
      schema: "core",
      strict: true,
      uniqueKeys: false,
      prettyErrors: false,
      lineCounter: lines,
    });
    return Array.isArray(parsed) ? parsed : [];
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    findings.fault(START, "", TOO_DEEP); // the library's own recursion ended
    return undefined;
  }
}

function placeAt(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

function treeOf(document: Document, lines: LineCounter, findings: Findings): TreeNode | undefined {
  // An unresolved tag is only a warning for the library; for us it would be a value of unknown meaning.
  const problems = [...document.errors, ...document.warnings];
  for (const problem of problems) findings.fault(placeAt(lines, problem.pos[0]), "", sentenceOf(problem.message));
  if (problems.length > 0) return undefined;
  const builder = new TreeBuilder(lines, findings);
  const tree = builder.build(document.contents, { depth: 1, path: "", parent: START });
  return builder.failed ? undefined : tree;
}

// The library reports its own exhausted recursion in the words of the engine.
function sentenceOf(message: string): string {
  return message.includes("call stack") ? TOO_DEEP : message;
}

interface Spot {
  readonly depth: number;
  readonly path: string;
  readonly parent: Place;
}

class TreeBuilder {
  readonly #lines: LineCounter;
  readonly #findings: Findings;
  /** Filled in the order of the document: the library's own look-up walks the whole document for every alias. */
  readonly #anchors = new Map<string, Node>();
  #nodes = 0;
  /** Nothing more is built. */
  #stopped = false;
  /** Something could not be built, so the tree must not be read. */
  failed = false;

  constructor(lines: LineCounter, findings: Findings) {
    this.#lines = lines;
    this.#findings = findings;
  }

  build(node: unknown, spot: Spot): TreeNode {
    const at = this.#placeOf(node) ?? spot.parent;
    if (!this.#admits(at, spot)) return { kind: "scalar", at, value: null };
    if (isAlias(node)) return this.#follow(node, { ...spot, depth: spot.depth + 1, parent: at });
    if ((isMap(node) || isSeq(node) || isScalar(node)) && node.anchor !== undefined)
      this.#anchors.set(node.anchor, node);
    if (isMap(node)) return this.#buildMap(node, { ...spot, parent: at });
    if (isSeq(node)) return { kind: "list", at, items: this.#buildItems(node.items, { ...spot, parent: at }) };
    return { kind: "scalar", at, value: isScalar(node) ? plainValue(node.value) : null };
  }

  #admits(at: Place, spot: Spot): boolean {
    if (this.#stopped) return false;
    this.#nodes++;
    if (spot.depth > YAML_LIMITS.depthMax)
      this.#stop(at, spot.path, `nested deeper than ${YAML_LIMITS.depthMax} levels`);
    else if (this.#nodes > YAML_LIMITS.nodesMax) this.#stop(at, spot.path, `more than ${YAML_LIMITS.nodesMax} values`);
    return !this.#stopped;
  }

  #follow(alias: Alias, spot: Spot): TreeNode {
    const target = this.#anchors.get(alias.source);
    if (target !== undefined) return this.build(target, spot);
    this.failed = true;
    this.#findings.fault(spot.parent, spot.path, `no anchor &${alias.source} before this alias`);
    return { kind: "scalar", at: spot.parent, value: null };
  }

  #stop(at: Place, path: string, reason: string): void {
    this.#stopped = true;
    this.failed = true;
    this.#findings.fault(at, path, reason);
  }

  #buildItems(items: readonly unknown[], { depth, path, parent }: Spot): readonly TreeNode[] {
    const built: TreeNode[] = [];
    for (const [index, item] of items.entries()) {
      if (this.#stopped) break;
      built.push(this.build(item, { depth: depth + 1, path: `${path}[${index}]`, parent }));
    }
    return built;
  }

  #buildMap(map: YAMLMap, spot: Spot): MapNode {
    const entries = new Map<string, { keyAt: Place; node: TreeNode }>();
    for (const pair of map.items) {
      if (this.#stopped) break;
      const keyAt = this.#placeOf(pair.key) ?? spot.parent;
      const key = keyOf(pair.key);
      if (key === undefined) {
        this.#findings.fault(keyAt, spot.path, "a key must be a plain text");
        continue;
      }
      const path = spot.path === "" ? key : `${spot.path}.${key}`;
      if (entries.has(key)) this.#findings.fault(keyAt, path, "this key occurs twice");
      else entries.set(key, { keyAt, node: this.build(pair.value, { depth: spot.depth + 1, path, parent: keyAt }) });
    }
    return { kind: "map", at: spot.parent, entries };
  }

  #placeOf(node: unknown): Place | undefined {
    if (!isNodeWithRange(node)) return undefined;
    const start = node.range?.[0];
    return start === undefined ? undefined : placeAt(this.#lines, start);
  }
}

function isNodeWithRange(node: unknown): node is Node {
  return isMap(node) || isSeq(node) || isScalar(node) || isAlias(node);
}

function keyOf(key: unknown): string | undefined {
  if (!isScalar(key)) return undefined;
  if (typeof key.value === "string") return key.value;
  return key.value === null ? undefined : (key.source ?? String(key.value));
}

function plainValue(value: unknown): string | number | boolean | null {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  return null;
}
