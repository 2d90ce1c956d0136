// The world of the toy: its processes, what must hold, one run.
// Owns:          building it from a seed, the invariants, the two phases of a run.
// Must not know: how a step is made.

import { memoryState } from "../../adapters/memory/memory-state.ts";
import { Fault } from "../../ports/fault.ts";
import type { Payloads } from "../../ports/payloads.ts";
import { drawFaults } from "../fate.ts";
import type { Invariant, WorldView } from "../plan.ts";
import type { RunSummary, SimRun } from "../run.ts";
import { World } from "../world.ts";
import { type Bug, numberOf, stateOf, TOY_LAYOUT, toyClient, toyWorker, UNCOUNTED } from "./counter.ts";

const CLIENTS = 3;
const WORKERS = 3;
const LIVENESS_STEPS_MAX = 60_000;

/** Throws SimulationFailure when the seed finds a fault. */
export async function runToy(run: SimRun, bug: Bug): Promise<RunSummary> {
  const accepted = new Set<string>();
  const options = { bug, counters: 2, requests: 40, onAccepted: (id: string) => void accepted.add(id) };
  const world = new World({
    seed: run.seed,
    // A failover loses accepted requests, which the toy's promises do not allow for.
    faults: { ...drawFaults(run.seed), failover: 0 },
    openState: (clock) => memoryState({ partitions: 2, layout: TOY_LAYOUT, clock }),
    openPayloads: () => NO_PAYLOADS,
    processes: [
      ...Array.from({ length: CLIENTS }, (_, n) => toyClient(`client${n}`, options)),
      ...Array.from({ length: WORKERS }, (_, n) => toyWorker(`worker${n}`, bug)),
    ],
    replay: `npm run sim -- --world toy --bug ${bug} --seed ${run.seed} --steps ${run.steps} --trace`,
    ...(run.print === undefined ? {} : { print: run.print }),
  });
  const check = [counterIsItsRequests, uncountedHaveAlarms, indexAgrees, acceptedExist(accepted)];
  await world.run({ stepsMax: run.steps, check, checkEvery: 100 });
  world.heal();
  const until = (): boolean => world.steps % 100 === 0 && isEverythingCounted(world, accepted);
  const healed = await world.run({ stepsMax: LIVENESS_STEPS_MAX, until, check, checkEvery: 100 });
  if (!healed.reached)
    world.refuse(`accepted requests were not counted within ${LIVENESS_STEPS_MAX} steps after healing`);
  return { world, did: new Map([["accepted", accepted.size]]) };
}

function* requests(
  view: Pick<WorldView, "dump">,
): Generator<{ id: string; state: string | undefined; alarmAt: number | "never" }> {
  for (const { stored, alarmAt } of view.dump().records) {
    if (stored.key.kind === "request") yield { id: stored.key.id, state: stateOf(stored), alarmAt };
  }
}

const counterIsItsRequests: Invariant = (view) => {
  const counted = new Map<string, number>();
  for (const { id, state } of requests(view)) {
    const counter = id.slice(0, id.indexOf(":"));
    if (state === "counted") counted.set(counter, (counted.get(counter) ?? 0) + 1);
  }
  for (const { stored } of view.dump().records) {
    const expected = counted.get(stored.key.id) ?? 0;
    if (stored.key.kind === "counter" && numberOf(stored) !== expected) {
      return `Y2: ${stored.key.id} says ${numberOf(stored)}, ${expected} requests were counted`;
    }
    if (stored.key.kind === "counter") counted.delete(stored.key.id);
  }
  return counted.size === 0 ? undefined : "Y2: requests were counted nowhere";
};

const uncountedHaveAlarms: Invariant = (view) => {
  for (const { id, state, alarmAt } of requests(view)) {
    if (state !== "counted" && alarmAt === "never") return `Y4: ${id} is ${state} and has no alarm`;
  }
  return undefined;
};

const indexAgrees: Invariant = (view) => {
  const open = [...requests(view)].filter(({ state }) => state !== "counted").map(({ id }) => id);
  const members = view
    .dump()
    .indexes.filter(({ key }) => key.index === UNCOUNTED)
    .flatMap(({ entries }) => entries.map(({ member }) => member));
  return open.sort().join() === members.sort().join()
    ? undefined
    : `Y4: uncounted are ${open.join()}, the index has ${members.join()}`;
};

function acceptedExist(accepted: ReadonlySet<string>): Invariant {
  return (view) => {
    const stored = new Set([...requests(view)].map(({ id }) => id));
    const missing = [...accepted].find((id) => !stored.has(id));
    return missing === undefined ? undefined : `Y1: ${missing} was accepted and is not stored`;
  };
}

function isEverythingCounted(world: World, accepted: ReadonlySet<string>): boolean {
  const states = new Map([...requests(world)].map(({ id, state }) => [id, state]));
  return [...accepted].every((id) => states.get(id) === "counted");
}

const refused = (): never => {
  throw new Fault("PAYLOADS_UNAVAILABLE", "the toy has no payloads");
};
const NO_PAYLOADS: Payloads = {
  traits: { bytesMax: 0, survives: "nothing", shared: true },
  put: refused,
  get: refused,
  inspect: refused,
  keep: refused,
  delete: refused,
  sweep: refused,
  close: async () => undefined,
};
