// The world of the life of a job: nodes, workers, people, and everything that can go wrong between them.
// Owns:          building it from a seed, the phases of a run, when all is done.
// Must not know: how a step is made; what the invariants look at.

import { type MemoryPayloads, memoryPayloads } from "../../adapters/memory/memory-payloads.ts";
import { memoryState } from "../../adapters/memory/memory-state.ts";
import { isTerminal } from "../../jobs/job.ts";
import type { Clock } from "../../ports/clock.ts";
import { SLOT_KIND } from "../../scheduling/slots.ts";
import { DEFAULT_RETENTION, stateLayout } from "../../services/core.ts";
import { DIFFERING_CLOCKS } from "../clock-error.ts";
import { drawFaults } from "../fate.ts";
import type { SimProcess } from "../process.ts";
import type { RunSummary, SimRun } from "../run.ts";
import { World } from "../world.ts";
import { simFrameWorker } from "./frame-worker.ts";
import { drawHabits, type Habits } from "./habits.ts";
import { checkCommit, checkPublish, checkVerdict, forget, jobInvariants, type Observed } from "./invariants.ts";
import { Ledger } from "./ledger.ts";
import type { Mutation } from "./mutating.ts";
import { type NodeOptions, simNode } from "./node.ts";
import { FRESH } from "./people.ts";
import { unseenBy } from "./readers.ts";
import { leakInPacket, leakInStore, leakInText } from "./secrecy.ts";
import { simStranger } from "./stranger.ts";
import { unknownTopics } from "./topic-watch.ts";
import { newReader, type People, TENANT } from "./user.ts";
import { Wire } from "./wire.ts";
import { simWorker } from "./worker.ts";

/** A third node is a gateway without a scheduler. */
const DRIVERS_MAX = 2;
const WORKERS = [
  ["direct-a", 2, true],
  ["direct-b", 4, false],
] as const;
const FRAME_WORKER = { ownId: "framed", capacity: 3 } as const;
const SUBMISSIONS = 12;
const CHECK_EVERY = 250;
const LIVENESS_STEPS_MAX = 80_000;

export const NO_MUTATION: Mutation = { ports: (ports) => ports, policy: (policy) => policy };

/** Throws SimulationFailure when the seed finds a fault. `mutation` plants one. */
export async function runJobs(run: SimRun, mutation: Mutation = NO_MUTATION): Promise<RunSummary> {
  const habits: Habits = { ...drawHabits(run.seed), ...mutation.habits };
  const ledger = new Ledger(() => world.now);
  const wire = new Wire();
  const fail = (says: string): void => world.fail(says);
  const failIf = (says: string | undefined): void => {
    if (says !== undefined) fail(says);
  };
  const nodes = Array.from({ length: habits.nodes }, (_, n) => ({
    name: `node${n}`,
    people: newPeople(),
    drives: n < DRIVERS_MAX,
    ...{ ledger, habits, wire, submissions: SUBMISSIONS, mutate: mutation, fail },
  }));
  const observed = (who: string): Observed => ({ ledger, who, now: world.now, fail });
  const shape = { partitions: habits.partitions, layout: stateLayout(DEFAULT_RETENTION) };
  let payloads: MemoryPayloads | undefined;
  const openPayloads = (clock: Clock): MemoryPayloads => {
    payloads ??= memoryPayloads({ clock, bytesMax: 65_536 });
    return payloads;
  };
  const world: World = new World({
    seed: run.seed,
    faults: drawFaults(run.seed),
    openState: (clock) => memoryState({ ...shape, clock, payloads: openPayloads(clock) }),
    openPayloads,
    processes: [...nodes.map(simNode), simStranger("stranger"), ...workersOf(habits, { ledger, wire, fail })],
    clocks: DIFFERING_CLOCKS,
    onLife: (who, what, now) => {
      ledger.capacity.noteLife(who, what, now);
      wire.noteLife(who, what);
    },
    onCommit: (batch, who) => checkCommit(batch, observed(who)),
    onPublish: (subject, bytes, who) => {
      checkPublish(subject, bytes, observed(who));
      failIf(leakInPacket(subject, bytes));
    },
    onVerdict: (subject, bytes, verdict, who) => checkVerdict(subject, bytes, verdict, observed(who)),
    onLog: (line) => failIf(leakInText("a log line", line)),
    onFailover: (kept, gone) => forget(kept, gone, ledger),
    replay: `npm run sim -- --seed ${run.seed} --steps ${run.steps} --trace${run.replaySuffix ?? ""}`,
    ...(run.print === undefined ? {} : { print: run.print }),
  });
  const check = jobInvariants(ledger);
  await world.run({ stepsMax: run.steps, check, checkEvery: CHECK_EVERY });
  world.heal();
  wire.isHealed = true;
  ledger.noteHealed();
  const until = (): boolean => world.steps % CHECK_EVERY === 0 && missing(world, ledger, nodes) === undefined;
  const healed = await world.run({ stepsMax: LIVENESS_STEPS_MAX, until, check, checkEvery: CHECK_EVERY });
  if (!healed.reached) world.refuse(`${missing(world, ledger, nodes)}, ${LIVENESS_STEPS_MAX} steps after healing`);
  const leak = leakInStore(world.dump());
  if (leak !== undefined) world.refuse(leak);
  return { world, did: ledger.counts };
}

function newPeople(): People {
  const nobodys = { slotsHeld: () => 0, unheardOf: () => [] };
  return { ...nobodys, next: 0, nextFresh: 0, askedAt: new Map(), deeds: 0, reader: newReader() };
}

function workersOf(
  { topical, sessions, terse }: Habits,
  house: { readonly ledger: Ledger; readonly wire: Wire; fail(says: string): void },
): readonly SimProcess[] {
  const { ledger } = house;
  for (const [id, slots] of WORKERS) ledger.capacity.addWorker(id, slots);
  const direct = WORKERS.map(([id, capacity, obeys]) =>
    simWorker(id, { directly: true, capacity, obeys, terse }, ledger),
  );
  const framed = { ...FRAME_WORKER, ...house, tenant: TENANT };
  if (sessions) ledger.capacity.addWorker(`${TENANT}.${FRAME_WORKER.ownId}`, FRAME_WORKER.capacity);
  return [
    ...direct,
    ...(topical ? [simWorker("topical", { directly: false, capacity: 3, obeys: false, terse }, ledger)] : []),
    ...(sessions ? [simFrameWorker(framed)] : []),
  ];
}

/** What must still come about. */
function missing(world: World, ledger: Ledger, nodes: readonly NodeOptions[]): string | undefined {
  const open = openJobs(ledger);
  if (open.length > 0) return `G4: not finished: ${open.join("; ")}`;
  if (!nodes.every(isAnswered)) return "G4: clients have no answer";
  const slots = slotsOut(world);
  if (slots > 0) return `G13: ${slots} slots are not given back`;
  const holding = nodes.find(({ people }) => people.slotsHeld() > 0);
  if (holding !== undefined) return `G24: ${holding.name} holds ${holding.people.slotsHeld()} slots of workers`;
  const unknown = unknownTopics(nodes, ledger);
  if (unknown !== undefined) return unknown;
  const readers = nodes.filter(({ habits }) => habits.readers);
  const behind = readers.map((node) => unseenBy(node)).find((says) => says !== undefined);
  if (behind !== undefined) return `G21: ${behind}`;
  const watching = readers.find(({ people }) => people.reader.watched !== undefined)?.people.reader.watched;
  return watching === undefined ? undefined : `G21: who watches ${watching} has not seen its end`;
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

function isAnswered({ people, submissions }: NodeOptions): boolean {
  return people.next >= submissions && people.nextFresh >= FRESH;
}
