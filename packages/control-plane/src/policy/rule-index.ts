// Which rules can match a request, without looking at all of them.
// Owns:          the choice of the condition under which each rule is filed, and the walk to the first match.
// Must not know: what rules decide.
// X1. A rule is filed under every value of one of its conditions: the one whose values are rarest among all rules. A rule without such a
//     condition is in the list that every request walks. So no rule that matches is missed, whichever condition was chosen.
// X2. Lists are in declaration order, so the first match of each list is its earliest, and the earliest of these decides.

import { compileGlobs } from "./conditions.ts";
import type { LabelPair, Match } from "./document.ts";
import type { Facts } from "./facts.ts";
import { fold } from "./fold.ts";
import type { Glob } from "./glob.ts";

const DIMENSIONS = [
  "topic",
  "prefix",
  "lastSegment",
  "tenant",
  "capability",
  "packId",
  "actorId",
  "actorType",
  "riskTag",
  "require",
  "label",
] as const;
type Dimension = (typeof DIMENSIONS)[number];

/** One way to file a rule: it can match only when the request has one of these values. */
type Filing = readonly { readonly dimension: Dimension; readonly value: string }[];

export class RuleIndex {
  readonly #lists: { readonly [dimension in Dimension]: Map<string, number[]> };
  readonly #everybody: number[] = [];
  /** Dots in the longest prefix under which a rule is filed: a topic with more is not cut more often. */
  #prefixDotsMax = 0;

  constructor(matches: readonly Match[]) {
    const filings = matches.map(filingsOf);
    const counts = new Counts();
    for (const filing of filings.flat(2)) counts.add(filing.dimension, filing.value);
    this.#lists = emptyLists();
    for (const [ordinal, ways] of filings.entries()) this.#file(ordinal, counts.rarest(ways, matches.length));
    for (const prefix of this.#lists.prefix.keys()) this.#prefixDotsMax = Math.max(this.#prefixDotsMax, dotsIn(prefix));
  }

  /** Position of the first rule that could match and for which `matches` holds; -1 when there is none. */
  first(facts: Facts, matches: (ordinal: number) => boolean): number {
    let best = Number.POSITIVE_INFINITY;
    const walk = (list: readonly number[] | undefined): void => {
      if (list === undefined) return;
      for (const ordinal of list) {
        if (ordinal >= best) return;
        if (matches(ordinal)) best = ordinal;
      }
    };
    walk(this.#everybody);
    const lists = this.#lists;
    walk(lists.topic.get(facts.topic));
    this.#walkPrefixes(facts.topic, walk);
    walk(lists.lastSegment.get(lastSegmentOf(facts.topic)));
    walk(lists.tenant.get(facts.tenant));
    walk(lists.capability.get(facts.capability));
    walk(lists.packId.get(facts.packId));
    walk(lists.actorId.get(facts.actorId));
    walk(lists.actorType.get(facts.actorType));
    if (lists.riskTag.size > 0) for (const tag of facts.riskTags) walk(lists.riskTag.get(tag));
    if (lists.require.size > 0) for (const name of facts.requires) walk(lists.require.get(name));
    this.#walkLabels(facts, walk);
    return best === Number.POSITIVE_INFINITY ? -1 : best;
  }

  #file(ordinal: number, filing: Filing | undefined): void {
    if (filing === undefined) {
      this.#everybody.push(ordinal);
      return;
    }
    for (const { dimension, value } of filing) {
      const list = this.#lists[dimension].get(value);
      if (list === undefined) this.#lists[dimension].set(value, [ordinal]);
      else if (list.at(-1) !== ordinal) list.push(ordinal);
    }
  }

  #walkLabels({ labels }: Facts, walk: (list: readonly number[] | undefined) => void): void {
    const lists = this.#lists.label;
    if (lists.size === 0) return;
    for (const label of Object.keys(labels)) walk(lists.get(labelKey(label, labels[label] ?? "")));
  }

  #walkPrefixes(topic: string, walk: (list: readonly number[] | undefined) => void): void {
    const lists = this.#lists.prefix;
    if (lists.size === 0) return;
    walk(lists.get(""));
    let end = topic.indexOf(".");
    for (let dots = 1; dots <= this.#prefixDotsMax && end !== -1; dots++) {
      walk(lists.get(topic.slice(0, end + 1)));
      end = topic.indexOf(".", end + 1);
    }
  }
}

function emptyLists(): { readonly [dimension in Dimension]: Map<string, number[]> } {
  return {
    topic: new Map(),
    prefix: new Map(),
    lastSegment: new Map(),
    tenant: new Map(),
    capability: new Map(),
    packId: new Map(),
    actorId: new Map(),
    actorType: new Map(),
    riskTag: new Map(),
    require: new Map(),
    label: new Map(),
  };
}

class Counts {
  readonly #counts = new Map<string, number>();

  add(dimension: Dimension, value: string): void {
    const key = `${dimension} ${value}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  /** The way whose longest list is shortest; undefined when there is none that beats the list of everybody. */
  rarest(ways: readonly Filing[], rules: number): Filing | undefined {
    let best: Filing | undefined;
    let bestLength = rules + 1;
    for (const way of ways) {
      const length = this.#longestList(way);
      if (length < bestLength) [best, bestLength] = [way, length];
    }
    return best;
  }

  #longestList(way: Filing): number {
    let longest = 0;
    for (const { dimension, value } of way) {
      longest = Math.max(longest, this.#counts.get(`${dimension} ${value}`) ?? 0);
    }
    return longest;
  }
}

function filingsOf(match: Match): readonly Filing[] {
  const anyOf = (dimension: Dimension, names: readonly string[]): readonly Filing[] =>
    names.length === 0 ? [] : [names.map((name) => ({ dimension, value: fold(name) }))];
  return [
    ...topicFilings(match.topics),
    ...anyOf("tenant", match.tenants),
    ...anyOf("capability", match.capabilities),
    ...anyOf("packId", match.packIds),
    ...anyOf("actorId", match.actorIds),
    ...anyOf("actorType", match.actorTypes),
    ...anyOf("riskTag", match.riskTags),
    // All of these are needed, so each alone is enough to file under. A label that may be missing is in no request's list.
    ...match.requires.map((name): Filing => [{ dimension: "require", value: fold(name) }]),
    ...match.labels.filter(({ value }) => value !== "").map(labelFiling),
  ];
}

function labelFiling({ label, value }: LabelPair): Filing {
  return [{ dimension: "label", value: labelKey(label, value) }];
}

function labelKey(label: string, value: string): string {
  return `${label}\0${value}`;
}

function topicFilings(topics: readonly string[]): readonly Filing[] {
  if (topics.length === 0) return [];
  const globs = compileGlobs(topics);
  const byPrefix = globs.map((glob) => exactFiling(glob) ?? prefixFiling(glob));
  const byEnd = globs.flatMap((glob) => exactFiling(glob) ?? endFiling(glob) ?? []);
  return byEnd.length === globs.length ? [byEnd, byPrefix] : [byPrefix];
}

function exactFiling({ exact }: Glob): Filing[number] | undefined {
  return exact === undefined ? undefined : { dimension: "topic", value: exact };
}

function prefixFiling({ prefix }: Glob): Filing[number] {
  return { dimension: "prefix", value: prefix.slice(0, prefix.lastIndexOf(".") + 1) };
}

/** Undefined when the last segment of what matches is not known. */
function endFiling({ suffix }: Glob): Filing[number] | undefined {
  return suffix.includes(".") ? { dimension: "lastSegment", value: lastSegmentOf(suffix) } : undefined;
}

function lastSegmentOf(topic: string): string {
  return topic.slice(topic.lastIndexOf(".") + 1);
}

function dotsIn(prefix: string): number {
  return prefix.split(".").length - 1;
}
