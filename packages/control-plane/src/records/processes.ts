// The living processes of a control plane, and which shapes of records each can read.
// Owns:          the record by which a process says that it lives and what it reads; the question whether all can read a shape.
// Must not know: what the records of a kind mean.
// L1. A new shape of a record is written only when every living process says that it can read it; so a rolling upgrade, and one step
//     back, lose nothing. L2. What is not known counts as no: before the first look, and while the store does not answer, the old shape is
//     written. L3. A process that was killed counts for another half a minute.

import type { Clock } from "../ports/clock.ts";
import type { Json } from "../ports/json.ts";
import type { IndexKey, Layout, RecordKey, State } from "../ports/state.ts";
import type { Log } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";

export const PROCESS_KIND = "process";
const PROCESS_INDEX = "process.alive";
const ALIVE_MS: Ms = 30_000;
const SAY_EVERY_MS: Ms = 10_000;
const CALL_MS: Ms = 5_000;
const PROCESSES_MAX = 1_000;

/** Kind of record to the newest shape of it. */
export type Shapes = { readonly [kind: string]: number };

export interface LivingProcess {
  readonly id: string;
  readonly roles: readonly string[];
  readonly version: string;
  readonly reads: Shapes;
}

export function processLayout(): Layout["indexes"] {
  return { [PROCESS_INDEX]: { score: "time", keepMs: ALIVE_MS } };
}

export class Processes {
  readonly #state: State;
  readonly #clock: Clock;
  readonly #self: LivingProcess;
  #others: readonly LivingProcess[] | undefined;

  constructor(state: State, clock: Clock, self: LivingProcess) {
    this.#state = state;
    this.#clock = clock;
    this.#self = self;
  }

  /** May records of this kind be written in this shape? See L1 and L2. */
  canAllRead(kind: string, shape: number): boolean {
    if (this.#others === undefined) return false;
    return [this.#self, ...this.#others].every(({ reads }) => (reads[kind] ?? 0) >= shape);
  }

  /** As of the last look, this one first. */
  alive(): readonly LivingProcess[] {
    return [this.#self, ...(this.#others ?? [])];
  }

  /** Says that this process lives and looks who else does. Faults: STATE_*. */
  async meet(signal: AbortSignal): Promise<void> {
    const until = this.#clock.deadline(signal, CALL_MS);
    await this.#say(until);
    const { entries } = await this.#state.list(
      { span: { index: INDEX }, alsoIn: [], order: "down", limit: PROCESSES_MAX, examineMax: PROCESSES_MAX },
      until,
    );
    const ids = entries.map(({ member }) => member).filter((id) => id !== this.#self.id);
    const found = ids.length === 0 ? [] : await this.#state.get(ids.map(keyOf), until);
    this.#others = found.flatMap((stored) => (stored === undefined ? [] : [parseProcess(stored.value)]));
  }

  /** Goes on meeting until `signal` fires. */
  async run(log: Log, signal: AbortSignal): Promise<void> {
    while (await this.#clock.sleep(SAY_EVERY_MS, signal)) {
      try {
        await this.meet(signal);
      } catch (error) {
        this.#others = undefined;
        if (!signal.aborted) log.error("processes.not_met", error);
      }
    }
  }

  /** This process goes: nobody need count it any more. */
  async leave(signal: AbortSignal): Promise<void> {
    const { id } = this.#self;
    const checks = [{ is: "in", index: INDEX, member: id }] as const;
    const changes = [{ do: "delete", key: keyOf(id) } as const, { do: "leave", index: INDEX, member: id } as const];
    await this.#state.commit(
      { id: this.#clock.id(), partition: 0, checks, changes },
      this.#clock.deadline(signal, CALL_MS),
    );
  }

  async #say(signal: AbortSignal): Promise<void> {
    const { id } = this.#self;
    const key = keyOf(id);
    const [stored] = await this.#state.get([key], signal);
    const check =
      stored === undefined ? ({ is: "absent", key } as const) : ({ is: "at", key, version: stored.version } as const);
    const changes = [
      { do: "put", key, value: this.#self as unknown as Json, keepMs: ALIVE_MS, wakeAt: "never" } as const,
      { do: "enter", index: INDEX, member: id, score: this.#clock.now() } as const,
    ];
    await this.#state.commit({ id: this.#clock.id(), partition: 0, checks: [check], changes }, signal);
  }
}

/** There are few processes: they lie in the first partition. */
const INDEX: IndexKey = { partition: 0, index: PROCESS_INDEX, of: ["all"] };

function keyOf(id: string): RecordKey {
  return { partition: 0, kind: PROCESS_KIND, id };
}

/** What cannot be read says that it reads nothing: then nothing new is written. */
function parseProcess(value: Json): LivingProcess {
  const found =
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? (value as { readonly [name: string]: Json })
      : {};
  const { id, roles, version, reads } = found;
  return {
    id: typeof id === "string" ? id : "",
    roles: Array.isArray(roles) ? roles.filter((role) => typeof role === "string") : [],
    version: typeof version === "string" ? version : "",
    reads: shapesOf(reads),
  };
}

function shapesOf(reads: Json | undefined): Shapes {
  if (reads === null || reads === undefined || typeof reads !== "object") return {};
  return Object.fromEntries(
    Object.entries(reads).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
}
