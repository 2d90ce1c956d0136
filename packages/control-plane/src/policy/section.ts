// Reading typed fields out of one mapping of the tree.
// Owns:          the types that fields may have, and the sentence when one has another.
// Must not know: which fields a policy has.
// Every read names a key as known; `finish` reports the rest. A field with a fault reads as "not set", so that reading goes on and all
// faults of the file are found in one pass. A key that is present with null is a fault: it is usually a list that lost its items.

import type { Findings, Place } from "./findings.ts";
import type { ListNode, MapNode, ScalarNode, TreeNode } from "./yaml-tree.ts";

const SHOWN_CHARACTERS_MAX = 60;

export interface SectionItem {
  readonly name: string;
  readonly section: Section;
}

export class Section {
  readonly findings: Findings;
  readonly path: string;
  readonly at: Place;
  readonly #entries: MapNode["entries"];
  readonly #known = new Set<string>();

  constructor(map: MapNode, path: string, findings: Findings) {
    this.findings = findings;
    this.path = path;
    this.at = map.at;
    this.#entries = map.entries;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  pathOf(key: string): string {
    const shown = clip(key);
    return this.path === "" ? shown : `${this.path}.${shown}`;
  }

  placeOf(key: string): Place {
    return this.#entries.get(key)?.keyAt ?? this.at;
  }

  text(key: string): string {
    const node = this.#scalar(key, "a text");
    if (node === undefined) return "";
    if (typeof node.value === "string") return node.value;
    this.#mistyped(node, this.pathOf(key), "a text");
    return "";
  }

  /** One of the named values; undefined when absent or none of them. */
  choice<T>(key: string, values: ReadonlyMap<string, T>): T | undefined {
    const expected = `one of ${[...values.keys()].join(", ")}`;
    const node = this.#scalar(key, expected);
    if (node === undefined) return undefined;
    const value = typeof node.value === "string" ? values.get(node.value) : undefined;
    if (value === undefined) this.#mistyped(node, this.pathOf(key), expected);
    return value;
  }

  flag(key: string): boolean | undefined {
    const node = this.#scalar(key, "true or false");
    if (node === undefined) return undefined;
    if (typeof node.value === "boolean") return node.value;
    this.#mistyped(node, this.pathOf(key), "true or false");
    return undefined;
  }

  /** 0 when absent. Both bounds are inclusive. */
  whole(key: string, bounds: { readonly min: number; readonly max: number }): number {
    const expected = `a whole number from ${bounds.min} to ${bounds.max}`;
    const node = this.#scalar(key, expected);
    if (node === undefined) return 0;
    const { value } = node;
    if (typeof value === "number" && Number.isInteger(value) && value >= bounds.min && value <= bounds.max) {
      return value === 0 ? 0 : value; // never -0
    }
    this.#mistyped(node, this.pathOf(key), expected);
    return 0;
  }

  texts(key: string): readonly string[] {
    return this.placedTexts(key).map(({ text }) => text);
  }

  placedTexts(key: string): readonly { readonly text: string; readonly at: Place; readonly path: string }[] {
    const placed: { text: string; at: Place; path: string }[] = [];
    for (const [index, node] of this.#items(key, "a list of texts").entries()) {
      const path = `${this.pathOf(key)}[${index}]`;
      if (node.kind === "scalar" && typeof node.value === "string")
        placed.push({ text: node.value, at: node.at, path });
      else this.#mistyped(node, path, "a text");
    }
    return placed;
  }

  section(key: string): Section | undefined {
    const node = this.#node(key);
    return node === undefined ? undefined : this.#asSection(node, this.pathOf(key));
  }

  sections(key: string): readonly Section[] {
    return this.#items(key, "a list").flatMap(
      (node, index) => this.#asSection(node, `${this.pathOf(key)}[${index}]`) ?? [],
    );
  }

  /** The values of a mapping whose keys are names. */
  namedSections(key: string): readonly SectionItem[] {
    const map = this.section(key);
    if (map === undefined) return [];
    return [...map.#entries].flatMap(([name, { node }]) => {
      const section = map.#asSection(node, map.pathOf(name));
      return section === undefined ? [] : [{ name, section }];
    });
  }

  /** A mapping of texts, sorted by key. */
  pairs(key: string): readonly (readonly [string, string])[] {
    const map = this.section(key);
    if (map === undefined) return [];
    const pairs: [string, string][] = [];
    for (const [name, { node, keyAt }] of map.#entries) {
      if (name === "__proto__") this.findings.fault(keyAt, map.pathOf(name), "this name is reserved");
      else if (node.kind === "scalar" && typeof node.value === "string") pairs.push([name, node.value]);
      else this.#mistyped(node, map.pathOf(name), "a text");
    }
    return pairs.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Keys that nothing asked for. */
  unknownKeys(): readonly string[] {
    return [...this.#entries.keys()].filter((key) => !this.#known.has(key));
  }

  /** Reports unknown keys as faults. */
  finish(): void {
    for (const key of this.unknownKeys()) {
      this.findings.fault(this.placeOf(key), this.pathOf(key), `unknown key; known are ${[...this.#known].join(", ")}`);
    }
  }

  #node(key: string): TreeNode | undefined {
    this.#known.add(key);
    return this.#entries.get(key)?.node;
  }

  #scalar(key: string, expected: string): ScalarNode | undefined {
    const node = this.#node(key);
    if (node === undefined || node.kind === "scalar") return node;
    this.#mistyped(node, this.pathOf(key), expected);
    return undefined;
  }

  #items(key: string, expected: string): ListNode["items"] {
    const node = this.#node(key);
    if (node === undefined) return [];
    if (node.kind === "list") return node.items;
    this.#mistyped(node, this.pathOf(key), expected);
    return [];
  }

  #asSection(node: TreeNode, path: string): Section | undefined {
    if (node.kind === "map") return new Section(node, path, this.findings);
    this.#mistyped(node, path, "a mapping");
    return undefined;
  }

  #mistyped(node: TreeNode, path: string, expected: string): void {
    this.findings.fault(node.at, path, `expected ${expected}, got ${describe(node)}`);
  }
}

function describe(node: TreeNode): string {
  if (node.kind === "map") return "a mapping";
  if (node.kind === "list") return "a list";
  if (node.value === null) return "nothing";
  return typeof node.value === "string" ? `the text ${JSON.stringify(clip(node.value))}` : `${node.value}`;
}

function clip(text: string): string {
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
}
