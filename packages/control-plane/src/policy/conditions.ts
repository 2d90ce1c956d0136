// The conditions of a rule as functions.
// Owns:          what each field of a match compares, and with what.
// Must not know: which rule comes first, what a rule decides.
// C1. A value that the request does not have matches no list. C2. A label that is required to be empty may as well be missing.

import type { LabelPair, Match } from "./document.ts";
import { type Facts, labelOf } from "./facts.ts";
import { fold } from "./fold.ts";
import { type Glob, parseGlob } from "./glob.ts";
import { compileMcpCheck } from "./mcp.ts";

export interface Condition {
  /** Name of the field in the policy file. */
  readonly field: string;
  holds(facts: Facts): boolean;
}

/** Cheapest and most telling first. */
export function compileMatch(match: Match): readonly Condition[] {
  const { secretsPresent, mcpUsed, mcp } = match;
  const mcpCheck = mcp && compileMcpCheck(mcp);
  return [
    ...topicsCondition(match.topics),
    ...anyOf("tenants", match.tenants, (facts) => facts.tenant),
    ...anyOf("capabilities", match.capabilities, (facts) => facts.capability),
    ...anyOf("pack_ids", match.packIds, (facts) => facts.packId),
    ...anyOf("actor_ids", match.actorIds, (facts) => facts.actorId),
    ...anyOf("actor_types", match.actorTypes, (facts) => facts.actorType),
    ...riskTagsCondition(match.riskTags),
    ...requiresCondition(match.requires),
    ...condition("secrets_present", secretsPresent, (expected) => (facts) => facts.secretsPresent === expected),
    ...labelsCondition(match.labels),
    ...condition("mcp.used", mcpUsed, (expected) => (facts) => facts.mcp.used === expected),
    ...condition("mcp", mcpCheck, (check) => (facts) => check(facts.mcp) === undefined),
  ];
}

/** The patterns of a document that was read are sound; one that is not matches nothing. */
export function compileGlobs(patterns: readonly string[]): readonly Glob[] {
  return patterns.map(parseGlob).filter((glob) => glob.kind === "glob");
}

function condition<T>(
  field: string,
  expected: T | undefined,
  compile: (expected: T) => Condition["holds"],
): readonly Condition[] {
  return expected === undefined ? [] : [{ field, holds: compile(expected) }];
}

function topicsCondition(topics: readonly string[]): readonly Condition[] {
  return topics.length === 0 ? [] : [{ field: "topics", holds: topicTest(topics) }];
}

function topicTest(topics: readonly string[]): Condition["holds"] {
  const globs = compileGlobs(topics);
  const [only] = globs;
  if (only !== undefined && globs.length === 1) return ({ topic }) => only.matches(topic);
  const exact = new Set(globs.flatMap((glob) => glob.exact ?? []));
  const patterns = globs.filter((glob) => glob.exact === undefined);
  return ({ topic }) => exact.has(topic) || patterns.some((glob) => glob.matches(topic));
}

function anyOf(field: string, names: readonly string[], read: (facts: Facts) => string): readonly Condition[] {
  if (names.length === 0) return [];
  const wanted = new Set(names.map(fold));
  wanted.delete("");
  return [{ field, holds: (facts) => wanted.has(read(facts)) }];
}

function riskTagsCondition(names: readonly string[]): readonly Condition[] {
  if (names.length === 0) return [];
  const wanted = new Set(names.map(fold));
  return [{ field: "risk_tags", holds: ({ riskTags }) => riskTags.some((tag) => wanted.has(tag)) }];
}

function requiresCondition(names: readonly string[]): readonly Condition[] {
  if (names.length === 0) return [];
  const wanted = names.map(fold);
  return [{ field: "requires", holds: ({ requires }) => wanted.every((name) => requires.includes(name)) }];
}

function labelsCondition(pairs: readonly LabelPair[]): readonly Condition[] {
  if (pairs.length === 0) return [];
  return [
    { field: "labels", holds: ({ labels }) => pairs.every(({ label, value }) => labelOf(labels, label) === value) },
  ];
}
