// Which pools may run a topic, how long, and how often.
// Owns:          the meaning of pools.yaml and timeouts.yaml (formats of the original, spec: pool and timeout config).
// Must not know: workers, jobs, where the files are.
// O1. Topics match exactly. O2. A pool qualifies for a job only if it declares everything that the job requires.
// O3. Where routing is open, a topic that no file maps runs on the virtual pool "@<topic>": all workers that announce the topic.

import { parseDocument } from "yaml";
import type { Ms } from "../ports/time.ts";

export interface PoolRule {
  readonly requires: readonly string[];
}
export interface Routing {
  readonly topics: ReadonlyMap<string, readonly string[]>;
  readonly pools: ReadonlyMap<string, PoolRule>;
  readonly isOpen: boolean;
}
export interface TopicLimits {
  /** Time from dispatch to result. */
  readonly timeoutMs: Ms;
  readonly maxRetries: number;
}
export interface Timeouts {
  readonly runningMs: Ms;
  readonly topics: ReadonlyMap<string, { readonly timeoutMs: Ms | undefined; readonly maxRetries: number | undefined }>;
}

/** Every fault of a file, each a sentence that names the place. */
export type Parsed<T> =
  | { readonly kind: "parsed"; readonly value: T }
  | { readonly kind: "invalid"; readonly faults: readonly string[] };

export const DEFAULT_RUNNING_TIMEOUT_MS = 9_000_000;
export const NO_TIMEOUTS: Timeouts = { runningMs: DEFAULT_RUNNING_TIMEOUT_MS, topics: new Map() };
export const OPEN_ROUTING: Routing = { topics: new Map(), pools: new Map(), isOpen: true };

export function virtualPool(topic: string): string {
  return `@${topic}`;
}

/** Pools that may run the topic; empty when nothing maps it. */
export function poolsFor(routing: Routing, topic: string): readonly string[] {
  return routing.topics.get(topic) ?? (routing.isOpen ? [virtualPool(topic)] : []);
}

export function poolSatisfies(routing: Routing, pool: string, requires: readonly string[]): boolean {
  const wanted = requires.map(fold).filter((entry) => entry !== "");
  if (wanted.length === 0 || pool.startsWith("@")) return true;
  const offered = routing.pools.get(pool)?.requires.map(fold) ?? [];
  return wanted.every((entry) => offered.includes(entry));
}

export function limitsFor(timeouts: Timeouts, topic: string): TopicLimits {
  const own = timeouts.topics.get(topic);
  return { timeoutMs: own?.timeoutMs ?? timeouts.runningMs, maxRetries: own?.maxRetries ?? 0 };
}

export function parsePools(text: string, isOpen: boolean): Parsed<Routing> {
  const faults: string[] = [];
  const root = rootOf(text, "pool config", faults);
  const topics = new Map<string, readonly string[]>();
  const pools = new Map<string, PoolRule>();
  for (const [key, value] of root) {
    if (key === "topics") readTopics(value, topics, faults);
    else if (key === "pools") readPools(value, pools, faults);
    else faults.push(`${key}: unknown key; expected topics or pools`);
  }
  if (faults.length === 0 && topics.size === 0) faults.push("pool config has no topics");
  return faults.length > 0 ? { kind: "invalid", faults } : { kind: "parsed", value: { topics, pools, isOpen } };
}

export function parseTimeouts(text: string): Parsed<Timeouts> {
  const faults: string[] = [];
  const topics = new Map<string, { timeoutMs: Ms | undefined; maxRetries: number | undefined }>();
  let runningMs = DEFAULT_RUNNING_TIMEOUT_MS;
  for (const [section, value] of rootOf(text, "timeout config", faults)) {
    if (section === "topics") {
      for (const [topic, limits] of entriesOf(value, "topics", faults)) {
        const found = readNumbers(limits, `topics.${topic}`, ["timeout_seconds", "max_retries"], faults);
        topics.set(topic, { timeoutMs: toMs(found.get("timeout_seconds")), maxRetries: found.get("max_retries") });
      }
    } else if (section === "reconciler") {
      const found = readNumbers(
        value,
        "reconciler",
        ["dispatch_timeout_seconds", "running_timeout_seconds", "scan_interval_seconds"],
        faults,
      );
      runningMs = toMs(found.get("running_timeout_seconds")) ?? runningMs;
    } else if (section === "workflows") {
      for (const [id, limits] of entriesOf(value, "workflows", faults)) {
        readNumbers(
          limits,
          `workflows.${id}`,
          ["child_timeout_seconds", "total_timeout_seconds", "max_retries"],
          faults,
        );
      }
    } else faults.push(`${section}: unknown key; expected workflows, topics or reconciler`);
  }
  return faults.length > 0 ? { kind: "invalid", faults } : { kind: "parsed", value: { runningMs, topics } };
}

function readTopics(value: unknown, topics: Map<string, readonly string[]>, faults: string[]): void {
  for (const [topic, target] of entriesOf(value, "topics", faults)) {
    const list = typeof target === "string" ? [target] : target;
    if (isNames(list) && list.length > 0) topics.set(topic, list);
    else faults.push(`topics.${topic}: expected a pool name or a non-empty list of pool names`);
  }
}

function readPools(value: unknown, pools: Map<string, PoolRule>, faults: string[]): void {
  for (const [pool, rule] of entriesOf(value, "pools", faults)) {
    let requires: readonly string[] = [];
    for (const [key, entry] of entriesOf(rule, `pools.${pool}`, faults)) {
      if (key === "requires" && isNames(entry)) requires = entry;
      else faults.push(`pools.${pool}.${key}: expected only requires, a list of names`);
    }
    pools.set(pool, { requires });
  }
}

function readNumbers(
  value: unknown,
  path: string,
  known: readonly string[],
  faults: string[],
): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const [key, entry] of entriesOf(value, path, faults)) {
    if (!known.includes(key)) faults.push(`${path}.${key}: unknown key; expected ${known.join(", ")}`);
    else if (typeof entry !== "number" || !Number.isSafeInteger(entry) || entry < 0)
      faults.push(`${path}.${key}: expected an integer of 0 or more`);
    else found.set(key, entry);
  }
  return found;
}

function rootOf(text: string, what: string, faults: string[]): readonly (readonly [string, unknown])[] {
  const document = parseDocument(text, { version: "1.2", uniqueKeys: true });
  for (const error of document.errors) faults.push(`${what}: ${error.message.split("\n")[0]}`);
  if (faults.length > 0) return [];
  return entriesOf(document.toJS({ maxAliasCount: 100, mapAsMap: true }), what, faults);
}

function entriesOf(value: unknown, path: string, faults: string[]): readonly (readonly [string, unknown])[] {
  if (value === null || value === undefined) return [];
  if (value instanceof Map) return [...value].map(([key, entry]) => [String(key), entry]);
  faults.push(`${path}: expected a mapping`);
  return [];
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string" && entry.trim() !== "");
}

function toMs(seconds: number | undefined): Ms | undefined {
  return seconds === undefined || seconds === 0 ? undefined : seconds * 1000;
}

function fold(text: string): string {
  return text.trim().toLowerCase();
}
