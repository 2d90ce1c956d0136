// What must hold at the end of a round, over everything that was stored, done and told.
// Owns:          the list.
// Must not know: how the single ones are checked.

import type { Finding, Invariant, RoundFacts } from "./facts.ts";
import { EXECUTION_INVARIANTS } from "./invariants-of-executions.ts";
import { RECORD_INVARIANTS } from "./invariants-of-records.ts";
import { WITNESS_INVARIANTS } from "./invariants-of-witnesses.ts";

export interface Checked extends Finding {
  readonly name: string;
  readonly says: string;
}

export const INVARIANTS: readonly Invariant[] = [...RECORD_INVARIANTS, ...EXECUTION_INVARIANTS, ...WITNESS_INVARIANTS];

export function checkAll(round: RoundFacts): readonly Checked[] {
  return INVARIANTS.map((invariant) => {
    const { looked, faults } = invariant.check(round);
    const offences = round.facts.ledger.offences.filter((offence) => offence.invariant === invariant.name);
    const { name, says } = invariant;
    return { name, says, looked: looked + offences.length, faults: [...faults, ...offences.map((each) => each.says)] };
  });
}
