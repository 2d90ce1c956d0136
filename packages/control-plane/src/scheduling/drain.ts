// An operator's order that a worker gets no new jobs.
// Owns:          the record, where it lies, how many there may be; giving the order and taking it back.
// Must not know: HTTP; who may give it; how placement heeds it (drains.ts tells it).
// D1. All orders lie in one partition, so that one read brings all of them, and their number is exact.
// D2. An order is for an id, whatever lives behind it: a worker that is started anew is still drained. It holds until it is taken back.
// D3. The audit entry is in the commit. Who repeats an order, or takes back none, changes nothing and is in no audit.

import { type Actor, auditChange } from "../audit/audit-entry.ts";
import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { Json } from "../ports/json.ts";
import { partitionOf } from "../ports/partition.ts";
import type { IndexKey, Layout, RecordKey, State } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import { readShape } from "../records/shape.ts";

export const DRAIN_KIND = "drain";
export const DRAIN_SHAPE = 1;
const DRAIN_INDEX = "drain.all";
export const DRAINS_MAX = 1_000;
const REASON_CHARS_MAX = 512;

export interface WorkerDrain {
  readonly shape: typeof DRAIN_SHAPE;
  readonly workerId: string;
  /** The only tenant that the worker serves; "": all. */
  readonly tenant: string;
  readonly at: EpochMs;
  readonly by: Actor;
  readonly reason: string;
}

export interface DrainParts {
  readonly state: State;
  readonly clock: Clock;
}

export type DrainWish = Pick<WorkerDrain, "workerId" | "tenant" | "by" | "reason">;

export function drainLayout(): Layout["indexes"] {
  return { [DRAIN_INDEX]: { score: "time", keepMs: "forever" } };
}

/** The order that holds now: this one, or the one that was given before. Faults: DRAIN_LIMIT, STATE_*. */
export async function orderDrain(
  wish: DrainWish,
  { state, clock }: DrainParts,
  signal: AbortSignal,
): Promise<WorkerDrain> {
  const key = keyOf(wish.workerId, state);
  const at = clock.now();
  const order: WorkerDrain = { ...wish, shape: DRAIN_SHAPE, at, reason: wish.reason.slice(0, REASON_CHARS_MAX) };
  const index = indexOf(state);
  const outcome = await state.commit(
    {
      id: clock.id(),
      partition: key.partition,
      checks: [
        { is: "absent", key },
        { is: "fewer", index, than: DRAINS_MAX },
      ],
      changes: [
        { do: "put", key, value: order as unknown as Json, wakeAt: "never" },
        { do: "enter", index, member: wish.workerId, score: at },
        auditOf("worker.drain", order, wish, at, key),
      ],
    },
    signal,
  );
  if (outcome.kind === "committed") return order;
  if (outcome.check === 0 && outcome.found !== undefined) return parseDrain(outcome.found.value);
  throw new Fault("DRAIN_LIMIT", `${DRAINS_MAX} workers are drained; take some of these orders back first`);
}

/** False: there was no order, or somebody else has just taken it back. Faults: STATE_*. */
export async function takeBackDrain(
  { workerId, by, reason }: Omit<DrainWish, "tenant">,
  { state, clock }: DrainParts,
  signal: AbortSignal,
): Promise<boolean> {
  const key = keyOf(workerId, state);
  const [seen] = await state.get([key], signal);
  if (seen === undefined) return false;
  const order = parseDrain(seen.value);
  const at = clock.now();
  const said = { by, reason: reason.slice(0, REASON_CHARS_MAX) };
  const outcome = await state.commit(
    {
      id: clock.id(),
      partition: key.partition,
      checks: [{ is: "at", key, version: seen.version }],
      changes: [
        { do: "delete", key },
        { do: "leave", index: indexOf(state), member: workerId },
        auditOf("worker.undrain", order, said, at, key),
      ],
    },
    signal,
  );
  return outcome.kind === "committed";
}

/** All orders that hold. */
export async function loadDrains(state: State, signal: AbortSignal): Promise<readonly WorkerDrain[]> {
  const query = {
    span: { index: indexOf(state) },
    alsoIn: [],
    order: "up",
    limit: DRAINS_MAX,
    examineMax: DRAINS_MAX,
  } as const;
  const { entries } = await state.list(query, signal);
  if (entries.length === 0) return [];
  const found = await state.get(
    entries.map(({ member }) => keyOf(member, state)),
    signal,
  );
  return found.flatMap((stored) => (stored === undefined ? [] : [parseDrain(stored.value)]));
}

function auditOf(
  action: "worker.drain" | "worker.undrain",
  { workerId, tenant }: WorkerDrain,
  { by, reason }: Pick<DrainWish, "by" | "reason">,
  at: EpochMs,
  { partition }: RecordKey,
) {
  const of = { kind: "worker", id: workerId };
  const entry = { at, tenant: tenant === "" ? by.tenant : tenant, actor: by, action, of, reason, facts: {} };
  return auditChange(entry, partition);
}

function keyOf(workerId: string, state: State): RecordKey {
  return { partition: homeOf(state), kind: DRAIN_KIND, id: `${ROOT}:${workerId}` };
}

function indexOf(state: State): IndexKey {
  return { partition: homeOf(state), index: DRAIN_INDEX, of: [] };
}

const ROOT = "drain";

function homeOf(state: State): number {
  return partitionOf(ROOT, state.traits.partitions);
}

function parseDrain(value: Json): WorkerDrain {
  return readShape(value, DRAIN_SHAPE, "drain order");
}
