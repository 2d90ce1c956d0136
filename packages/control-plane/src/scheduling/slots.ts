// Slots: how many jobs of a tenant or a rule may be out at once, exact across processes.
// Owns:          the record of a slot, taking and giving back, what its alarm does.
// Must not know: jobs beyond the question whether a dispatch is still out.
// S1. A slot belongs to one dispatch and lies in the limit's own partition. It is taken under the limit before the dispatch is committed,
//     and given back after the job has moved on; between two attempts nothing is shared, so no late release takes a slot from another.
// S2. A crash in between leaves a slot behind: its alarm asks for the dispatch, and gives back what nobody has any more.

import { createHash } from "node:crypto";
import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { Json } from "../ports/json.ts";
import { partitionOf } from "../ports/partition.ts";
import type { IndexKey, Layout, RecordKey, State } from "../ports/state.ts";
import type { Ms } from "../ports/time.ts";

export const SLOT_KIND = "slot";
export const SLOT_SHAPE = 1;
const SLOT_INDEX = "slot.of";
/** The slot's alarm: far behind any commit under way. */
const LOOK_AGAIN_MS: Ms = 60_000;

export interface Limit {
  readonly id: string;
  readonly max: number;
  /** Why a job waits that this limit holds back. */
  readonly waiting: "tenant_limit" | "rule_limit";
}

/** Identifies one dispatch of one job. */
export interface SlotHolder {
  readonly jobId: string;
  readonly dispatchId: string;
}

interface Slot extends SlotHolder {
  readonly shape: typeof SLOT_SHAPE;
  readonly limitId: string;
}

export function slotLayout(): Layout["indexes"] {
  return { [SLOT_INDEX]: { score: "time", keepMs: "forever" } };
}

export function tenantLimit(tenant: string, max: number): Limit {
  return { id: limitId("tenant", tenant), max, waiting: "tenant_limit" };
}

export function ruleLimit(tenant: string, ruleId: string, max: number): Limit {
  return { id: limitId("rule", tenant, ruleId), max, waiting: "rule_limit" };
}

export class Slots {
  readonly #state: State;
  readonly #clock: Clock;

  constructor(state: State, clock: Clock) {
    this.#state = state;
    this.#clock = clock;
  }

  /** Taking twice for the same dispatch is taking once. Faults: STATE_*. */
  async take(limit: Limit, holder: SlotHolder, signal: AbortSignal): Promise<"taken" | "full"> {
    const key = this.#key(limit.id, holder.dispatchId);
    const index = indexOf(limit.id, key.partition);
    const now = this.#clock.now();
    const slot: Slot = { shape: SLOT_SHAPE, limitId: limit.id, ...holder };
    const outcome = await this.#state.commit(
      {
        id: this.#clock.id(),
        partition: key.partition,
        checks: [
          { is: "absent", key },
          { is: "fewer", index, than: limit.max },
        ],
        changes: [
          { do: "put", key, value: slot as unknown as Json, wakeAt: now + LOOK_AGAIN_MS },
          { do: "enter", index, member: holder.dispatchId, score: now },
        ],
      },
      signal,
    );
    return outcome.kind === "conflict" && outcome.check === 1 ? "full" : "taken";
  }

  /** True when a slot came free by it; giving back what was never taken or is given back already changes nothing. Faults: STATE_*. */
  async giveBack(id: string, dispatchId: string, signal: AbortSignal): Promise<boolean> {
    const key = this.#key(id, dispatchId);
    const index = indexOf(id, key.partition);
    const outcome = await this.#state.commit(
      {
        id: this.#clock.id(),
        partition: key.partition,
        checks: [{ is: "in", index, member: dispatchId }],
        changes: [
          { do: "delete", key },
          { do: "leave", index, member: dispatchId },
        ],
      },
      signal,
    );
    return outcome.kind === "committed";
  }

  async countOf(id: string, signal: AbortSignal): Promise<number> {
    const partition = partitionOf(id, this.#state.traits.partitions);
    const [count] = await this.#state.count([{ index: indexOf(id, partition) }], signal);
    return count ?? 0;
  }

  /** The slot's alarm, see S2. `isOut` tells whether the job is still out with that dispatch. Returns the limit when a slot came free. */
  async wake(
    recordId: string,
    isOut: (holder: SlotHolder) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const key: RecordKey = {
      partition: partitionOf(recordId, this.#state.traits.partitions),
      kind: SLOT_KIND,
      id: recordId,
    };
    const [stored] = await this.#state.get([key], signal);
    if (stored === undefined) return undefined;
    const slot = parseSlot(stored.value);
    if (!(await isOut(slot))) {
      return (await this.giveBack(slot.limitId, slot.dispatchId, signal)) ? slot.limitId : undefined;
    }
    const changes = [{ do: "put", key, value: stored.value, wakeAt: this.#clock.now() + LOOK_AGAIN_MS }] as const;
    await this.#state.commit(
      { id: this.#clock.id(), partition: key.partition, checks: [{ is: "at", key, version: stored.version }], changes },
      signal,
    );
    return undefined;
  }

  #key(id: string, dispatchId: string): RecordKey {
    return { partition: partitionOf(id, this.#state.traits.partitions), kind: SLOT_KIND, id: `${id}:${dispatchId}` };
  }
}

function indexOf(id: string, partition: number): IndexKey {
  return { partition, index: SLOT_INDEX, of: [id] };
}

/** No ":" in it, so that all slots of a limit lie in one partition. */
function limitId(...parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return hash.digest("hex").slice(0, 32);
}

function parseSlot(value: Json): Slot {
  const shape =
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? (value as { shape?: Json }).shape
      : undefined;
  if (shape !== SLOT_SHAPE)
    throw new Fault("STATE_REFUSED", `slot record of shape ${String(shape)}; this process reads shape ${SLOT_SHAPE}`);
  return value as unknown as Slot;
}
