// The world of the life of a job: nodes, workers, people, and everything that can go wrong between them.
// Owns:          building it from a seed, the phases of a run, when all is done.
// Must not know: how a step is made; what the invariants look at.

import { memoryPayloads } from "../../adapters/memory/memory-payloads.ts";
import { memoryState } from "../../adapters/memory/memory-state.ts";
import { isTerminal } from "../../jobs/job.ts";
import { SLOT_KIND } from "../../scheduling/slots.ts";
import { DEFAULT_RETENTION, stateLayout } from "../../services/core.ts";
import { DIFFERING_CLOCKS } from "../clock-error.ts";
import { drawFaults } from "../fate.ts";
import type { RunSummary, SimRun } from "../run.ts";
import { World } from "../world.ts";
import { checkCommit, checkPublish, forget, jobInvariants, type Observed } from "./invariants.ts";
import { Ledger } from "./ledger.ts";
import { FRESH, type Mutation, simNode } from "./node.ts";
import { simStranger } from "./stranger.ts";
import { simWorker } from "./worker.ts";

const NODES_MAX = 3;
/** A third node is a gateway without a scheduler. */
const DRIVERS_MAX = 2;
const PARTITIONS = [1, 3, 2] as const;
const WORKERS = [
  ["direct-a", 2],
  ["direct-b", 4],
] as const;
const SUBMISSIONS = 12;
const CHECK_EVERY = 250;
const LIVENESS_STEPS_MAX = 80_000;

export const NO_MUTATION: Mutation = { ports: (ports) => ports, policy: (policy) => policy };

/** Throws SimulationFailure when the seed finds a fault. `mutation` plants one. */
export async function runJobs(run: SimRun, mutation: Mutation = NO_MUTATION): Promise<RunSummary> {
  const ledger = new Ledger();
  const nodes = 1 + (run.seed % NODES_MAX);
  const partitions = PARTITIONS[(run.seed >> 3) % PARTITIONS.length] ?? 1;
  for (const [id, slots] of WORKERS) ledger.capacity.addWorker(id, slots);
  const options = { ledger, submissions: SUBMISSIONS, mutate: mutation };
  const observed = (who: string): Observed => ({ ledger, who, now: world.now, fail: (says) => world.fail(says) });
  const world: World = new World({
    seed: run.seed,
    faults: drawFaults(run.seed),
    openState: (clock) => memoryState({ partitions, layout: stateLayout(DEFAULT_RETENTION), clock }),
    openPayloads: (clock) => memoryPayloads({ clock, bytesMax: 65_536 }),
    processes: [
      ...Array.from({ length: nodes }, (_, n) => simNode(`node${n}`, { ...options, drives: n < DRIVERS_MAX })),
      simStranger("stranger"),
      ...WORKERS.map(([id, capacity]) => simWorker(id, { directly: true, capacity }, ledger)),
      ...((run.seed >> 2) % 2 === 0 ? [simWorker("topical", { directly: false, capacity: 3 }, ledger)] : []),
    ],
    clocks: DIFFERING_CLOCKS,
    onLife: (who, what, now) => ledger.capacity.noteLife(who, what, now),
    onCommit: (batch, who) => checkCommit(batch, observed(who)),
    onPublish: (subject, bytes, who) => checkPublish(subject, bytes, observed(who)),
    onFailover: (kept, gone) => forget(kept, gone, ledger),
    replay: `npm run sim -- --seed ${run.seed} --steps ${run.steps} --trace${run.replaySuffix ?? ""}`,
    ...(run.print === undefined ? {} : { print: run.print }),
  });
  const check = jobInvariants(ledger);
  await world.run({ stepsMax: run.steps, check, checkEvery: CHECK_EVERY });
  world.heal();
  ledger.isHealed = true;
  ledger.capacity.noteHealed(world.now);
  const until = (): boolean =>
    world.steps % CHECK_EVERY === 0 &&
    openJobs(ledger).length === 0 &&
    allAnswered(ledger, nodes) &&
    slotsOut(world) === 0;
  const healed = await world.run({ stepsMax: LIVENESS_STEPS_MAX, until, check, checkEvery: CHECK_EVERY });
  if (!healed.reached) world.refuse(unfinished(world, ledger));
  return { world, did: ledger.counts };
}

function unfinished(world: World, ledger: Ledger): string {
  const open = openJobs(ledger);
  const after = `${LIVENESS_STEPS_MAX} steps after healing`;
  return open.length === 0 && slotsOut(world) > 0
    ? `G13: ${slotsOut(world)} slots are not given back ${after}`
    : `G4: not finished ${after}: ${open.join("; ") || "clients"}`;
}

/** G13. */
function slotsOut(world: World): number {
  return world.dump().records.filter(({ stored }) => stored.key.kind === SLOT_KIND).length;
}

function openJobs(ledger: Ledger): readonly string[] {
  return [...ledger.histories.values()].flatMap(({ job }) =>
    isTerminal(job) ? [] : [`${job.id} ${JSON.stringify(job.phase)} ${JSON.stringify(job.wakes)}`],
  );
}

function allAnswered(ledger: Ledger, nodes: number): boolean {
  const answers = (ledger.counts.get("accepted") ?? 0) + (ledger.counts.get("submit IDEMPOTENCY_CONFLICT") ?? 0);
  return ledger.fresh.size >= nodes * FRESH && answers >= nodes * SUBMISSIONS;
}
