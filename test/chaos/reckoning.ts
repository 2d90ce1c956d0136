// What became of the jobs of a round, in numbers.
// Owns:          ends by kind, and what was lost where it may be.
// Must not know: what must hold.

import type { RoundFacts } from "./facts.ts";

/** By kind of job: how many ended how; "lost" where they are not stored. */
export type Outcome = ReadonlyMap<string, ReadonlyMap<string, number>>;

export function outcomeOf({ facts, jobs }: RoundFacts): Outcome {
  const outcome = new Map<string, Map<string, number>>();
  for (const { id, kind } of facts.ledger.accepted.values()) {
    const state = jobs.get(id)?.phase.state ?? "lost";
    const ends = outcome.get(kind) ?? new Map<string, number>();
    ends.set(state, (ends.get(state) ?? 0) + 1);
    outcome.set(kind, ends);
  }
  return outcome;
}

/** Only what Redis may forget (design §5); the invariants say when it forgot more. */
export function countLost(round: RoundFacts): void {
  const { ledger } = round.facts;
  const { accepted, deeds, losses } = ledger;
  if (losses.length === 0) return;
  const missing = [...accepted.keys()].filter((id) => !round.jobs.has(id)).length;
  ledger.count("accepted jobs that Redis forgot", missing);
  const undone = deeds.filter(({ jobId, action, by }) => {
    const job = round.jobs.get(jobId);
    return action === "job.cancel" ? job?.phase.state !== "CANCELLED" : job?.approval?.by !== by;
  });
  ledger.count("answers of people that Redis forgot", undone.length);
}

/** Why jobs ended that did not succeed. */
export function countReasons({ facts, jobs }: RoundFacts): void {
  for (const { phase } of jobs.values()) {
    if (!("outcome" in phase) || phase.state === "SUCCEEDED") continue;
    facts.ledger.count(`ended as ${phase.state}: ${phase.outcome.code}`);
  }
}
