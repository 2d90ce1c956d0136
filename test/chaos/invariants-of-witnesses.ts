// What must hold of what was seen from outside: answers, streams, processes, logs.
// Owns:          these invariants. Most are watched while a round runs (ledger.offences); their names are here.
// Must not know: who watched.

import type { Invariant, RoundFacts } from "./facts.ts";

/** Watched while the round runs: here is nothing left to do but to name them. */
function watched(name: string, says: string, looked: (round: RoundFacts) => number): Invariant {
  return { name, says, check: (round) => ({ looked: looked(round), faults: [] }) };
}

const answers = watched(
  "answers",
  "Whoever cannot be served is told 503 and when to come back, or 408 where the request was cut off, or gets no answer; nobody is told worse.",
  ({ facts }) => [...facts.ledger.refusals.values()].reduce((sum, count) => sum + count, facts.ledger.accepted.size),
);
const approvals = watched(
  "approvals",
  "Nobody approves a request of their own.",
  ({ facts }) => facts.ledger.counts.get("tries to approve one's own") ?? 0,
);
const reading = watched(
  "reading",
  "What the API says about a job, and the result that it hands out, is what is stored and what was asked.",
  ({ facts }) => facts.ledger.counts.get("jobs read through the API") ?? 0,
);
const secrets = watched(
  "no secrets in logs",
  "No log of any process holds an API key.",
  ({ facts }) => facts.surprises.size,
);

const stream: Invariant = {
  name: "stream",
  says: "A client that follows the stream of jobs over all breaks ends with the true state of every job of its tenant, and of no other.",
  check: ({ facts, jobs }) => {
    const { states, tenants, firstAt, failure } = facts.seen;
    const own = [...jobs.values()].filter(({ tenant, updatedAt }) => tenant === "acme" && updatedAt > firstAt);
    const faults = own
      .filter(({ id, phase }) => states.get(id) !== phase.state)
      .map(({ id, phase }) => `${id} is ${phase.state}, the stream said ${states.get(id) ?? "nothing"}`);
    const foreign = [...tenants].filter((tenant) => tenant !== "acme").map((tenant) => `the stream told of ${tenant}`);
    return {
      looked: own.length,
      faults: [...faults, ...foreign, ...(failure === undefined ? [] : [`the stream ended: ${String(failure)}`])],
    };
  },
};

const noneGivesUp: Invariant = {
  name: "no process gives up",
  says: "No process ends by itself, and each comes back when it is started.",
  check: ({ facts }) => ({
    looked: facts.surprises.size,
    faults: [...facts.surprises].flatMap(([name, times]) =>
      times === 0 ? [] : [`${name} ended by itself, times: ${times}`],
    ),
  }),
};

export const WITNESS_INVARIANTS: readonly Invariant[] = [answers, approvals, reading, stream, noneGivesUp, secrets];
