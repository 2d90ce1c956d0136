// What can go wrong with a call, and how often.
// Owns:          the kinds of fate, their odds, the draw.
// Must not know: how a fate is carried out (world.ts does).

import { type SeededRandom, seededRandom } from "../adapters/system/seeded-random.ts";

/** A read of State or Payloads, a commit of State, a write of Payloads, a message on its way out (kept by the bus, or delivered at once with a verdict), a
 *  message at a subscriber's door. A delivery is not sent twice: its verdict is about one message. */
export type CallKind = "read" | "commit" | "write" | "send" | "deliver" | "arrive";

export type Fate =
  | "run"
  /** Done a little later; others overtake it. */
  | "delay"
  /** Done, and done again later, when much else may have happened. */
  | "duplicate"
  /** Nothing is done, and the caller hears so. */
  | "error"
  /** Done, but the caller hears that the outcome is unknown. */
  | "lost_answer"
  /** The caller hears that the outcome is unknown; it is done later. */
  | "late"
  /** Somebody else writes what the commit has read, just before it. */
  | "conflict"
  /** A message that never arrives, and nobody hears so. */
  | "lost"
  | "crash_before"
  | "crash_after";

/** One in so many calls of a kind that can have it; 0: never. */
export type Faults = { readonly [fate in Exclude<Fate, "run">]: number } & {
  /** One in so many steps the store goes away for everybody for some time. */
  readonly outage: number;
  /** One in so many steps the store fails over to a replica that has not heard of the last few commits. */
  readonly failover: number;
  /** One in so many steps the bus goes away for everybody for some time: what is under way is lost, what is sent is refused. */
  readonly silence: number;
};

const POSSIBLE: { readonly [kind in CallKind]: readonly Exclude<Fate, "run">[] } = {
  read: ["delay", "error", "crash_before", "crash_after"],
  commit: ["delay", "duplicate", "error", "lost_answer", "late", "conflict", "crash_before", "crash_after"],
  write: ["delay", "duplicate", "error", "lost_answer", "late", "crash_before", "crash_after"],
  send: ["delay", "duplicate", "error", "lost_answer", "crash_before", "crash_after"],
  deliver: ["delay", "error", "lost_answer", "crash_before", "crash_after"],
  arrive: ["delay", "duplicate", "lost", "crash_before", "crash_after"],
};

export const NO_FAULTS: Faults = {
  delay: 0,
  duplicate: 0,
  error: 0,
  lost_answer: 0,
  late: 0,
  conflict: 0,
  lost: 0,
  crash_before: 0,
  crash_after: 0,
  outage: 0,
  failover: 0,
  silence: 0,
};

const COMMON = [0, 200, 50, 12, 4] as const;
const CRASHES = [0, 4_000, 800, 200, 60] as const;
const OUTAGES = [0, 20_000, 4_000] as const;
const FAILOVERS = [0, 0, 0, 4_000, 1_000] as const;

/** Each kind of fault is off, rare or common by itself: a run in which everything fails all the time finds less than many in which a
 *  few things do (Groce and others, "Swarm Testing", 2012). */
export function drawFaults(seed: number): Faults {
  const chance = seededRandom(seed).fork("faults");
  const draw = (odds: readonly number[]): number => odds[chance.below(odds.length)] ?? 0;
  return {
    delay: draw(COMMON),
    duplicate: draw(COMMON),
    error: draw(COMMON),
    lost_answer: draw(COMMON),
    late: draw(COMMON),
    lost: draw(COMMON),
    crash_before: draw(CRASHES),
    crash_after: draw(CRASHES),
    outage: draw(OUTAGES),
    failover: draw(FAILOVERS),
    conflict: draw(COMMON),
    silence: draw(OUTAGES),
  };
}

export type DrawFate = (kind: CallKind, chance: SeededRandom) => Fate;

/** One draw per call, so that switching one fault off leaves the others where they were as far as can be. */
export function fatesOf(faults: Faults): DrawFate {
  const spans = new Map<CallKind, readonly { readonly fate: Fate; readonly below: number }[]>();
  for (const [kind, fates] of Object.entries(POSSIBLE) as [CallKind, readonly Exclude<Fate, "run">[]][]) {
    let below = 0;
    const entries = fates.flatMap((fate) => {
      if (faults[fate] === 0) return [];
      below += 1 / faults[fate];
      return [{ fate, below }];
    });
    spans.set(kind, entries);
  }
  return (kind, chance) => {
    const at = chance.next();
    return spans.get(kind)?.find(({ below }) => at < below)?.fate ?? "run";
  };
}
