// A toy to try the simulation on: counters that add up requests, exactly once each.
// Owns:          clients that ask; workers that claim a request under a lease, work, and count it.
// Must not know: that it is simulated.
// Y1. A request that a client was told is accepted is counted exactly once. Y2. A counter is the number of its counted requests.
// Y3. Who lost the lease counts nothing: the claim's version is the fencing token. Y4. An uncounted request has an alarm and stands in
//     the index. Each `Bug` breaks one of them, to show that the simulation finds it.

import { Fault } from "../../ports/fault.ts";
import type { Json } from "../../ports/json.ts";
import { partitionOf } from "../../ports/partition.ts";
import type { Batch, Change, Check, IndexKey, Layout, RecordKey, State, Stored } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";
import type { ProcessPorts, SimProcess } from "../process.ts";

export const BUGS = [
  "no_alarm",
  "no_fencing",
  "accepts_unknown",
  "two_commits",
  "lost_update",
  "index_apart",
  "no_retry",
  "real_time",
] as const;
export type Bug = (typeof BUGS)[number] | "none";

export type RequestState = "open" | "claimed" | "counted";
export const UNCOUNTED = "uncounted";
export const TOY_LAYOUT: Layout = { indexes: { [UNCOUNTED]: { score: "rank" } }, logs: {} };

const LEASE_MS = 1_000;
const WORK_MS_MAX = 1_400;
const POLL_MS = 250;
const CALL_MS = 2_000;

export interface ToyOptions {
  readonly bug: Bug;
  readonly counters: number;
  readonly requests: number;
  /** Hears of each request that a client holds for accepted. */
  onAccepted(id: string): void;
}

export function toyClient(name: string, options: ToyOptions): SimProcess {
  return {
    name,
    mayCrash: true,
    async start(ports) {
      const { bus, clock, chance, life, signal } = ports;
      for (let nth = 0; nth < options.requests; nth++) {
        const id = `c${chance.below(options.counters)}:${name}-${life}-${nth}`;
        while (!(await ask(id, ports, options.bug))) await clock.sleep(200, signal);
        options.onAccepted(id);
        await ignoringFaults(() => bus.publish("toy.request", new TextEncoder().encode(id), deadline(ports)));
        await clock.sleep(chance.below(300), signal);
      }
    },
  };
}

/** True when the request is stored, whoever stored it. */
async function ask(id: string, ports: ProcessPorts, bug: Bug): Promise<boolean> {
  const { state, clock } = ports;
  const key = keyOf("request", id, state);
  try {
    await commit(ports, {
      partition: key.partition,
      checks: [{ is: "absent", key }],
      changes: [
        putRequest(key, "open", clock.now() + POLL_MS),
        { do: "enter", index: indexOf(key), member: id, score: 0 },
      ],
    });
    return true; // committed now, or before: a conflict shows that it is there
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return bug === "accepts_unknown" && error.code === "STATE_OUTCOME_UNKNOWN";
  }
}

export function toyWorker(name: string, bug: Bug): SimProcess {
  return {
    name,
    mayCrash: true,
    async start(ports) {
      await ports.bus.subscribe(
        { subject: "toy.request", group: "workers", keep: false, inFlightMax: 4 },
        async (bytes) => {
          await serve(new TextDecoder().decode(bytes), ports, bug);
          return { kind: "ack" };
        },
      );
      for (;;) {
        for (let partition = 0; partition < ports.state.traits.partitions; partition++) {
          await ignoringFaults(async () => {
            const due = await ports.state.take(partition, 4, LEASE_MS, deadline(ports));
            for (const { key } of due) await serve(key.id, ports, bug);
          });
        }
        await ports.clock.sleep(POLL_MS, ports.signal);
      }
    },
  };
}

/** Claims, works, counts. Whatever goes wrong, the alarm brings the request back. */
async function serve(id: string, ports: ProcessPorts, bug: Bug): Promise<void> {
  const { state, clock, chance } = ports;
  const key = keyOf("request", id, state);
  const [seen] = await state.get([key], deadline(ports));
  if (seen === undefined || stateOf(seen) === "counted") return;
  const claim = await commit(ports, {
    partition: key.partition,
    checks: [{ is: "at", key, version: seen.version }],
    changes: [putRequest(key, "claimed", bug === "no_alarm" ? "never" : clock.now() + LEASE_MS)],
  });
  if (claim === undefined) return;
  await clock.sleep(chance.below(WORK_MS_MAX), ports.signal);
  if (bug === "real_time") Date.now();
  await count(key, bug === "no_fencing" ? await versionNow(key, ports) : claim, ports, bug);
}

async function count(key: RecordKey, claim: string, ports: ProcessPorts, bug: Bug): Promise<void> {
  const { state, clock } = ports;
  const counter = keyOf("counter", key.id.slice(0, key.id.indexOf(":")), state);
  let [seen] = await state.get([counter], deadline(ports));
  const first = numberOf(seen);
  for (;;) {
    const next = (bug === "lost_update" ? first : numberOf(seen)) + 1;
    const counted: Change = { do: "put", key: counter, value: { count: next }, wakeAt: "never" };
    const done: readonly Change[] = [
      putRequest(key, "counted", "never"),
      ...(bug === "index_apart" ? [] : [leave(key)]),
    ];
    const atClaim: Check = { is: "at", key, version: claim };
    const atCounter: Check =
      seen === undefined ? { is: "absent", key: counter } : { is: "at", key: counter, version: seen.version };
    const batch = {
      id: clock.id(),
      partition: key.partition,
      checks: [atCounter, atClaim] as const,
      changes: [counted, ...done],
    };
    const outcome = await state.commit(
      bug === "two_commits" ? { ...batch, checks: [atCounter], changes: [counted] } : batch,
      deadline(ports),
    );
    if (outcome.kind === "conflict" && outcome.check === 0 && bug !== "no_retry") seen = outcome.found;
    else if (outcome.kind === "conflict" && bug !== "no_retry") return;
    else break;
  }
  if (bug === "two_commits" || bug === "no_retry") await force(key, ports);
  if (bug === "index_apart")
    await commit(ports, {
      partition: key.partition,
      checks: [{ is: "in", index: indexOf(key), member: key.id }],
      changes: [leave(key)],
    });
}

/** What the bugs do instead of checking. */
async function force(key: RecordKey, ports: ProcessPorts): Promise<void> {
  const [seen] = await ports.state.get([key], deadline(ports));
  if (seen === undefined || stateOf(seen) === "counted") return;
  await commit(ports, {
    partition: key.partition,
    checks: [{ is: "at", key, version: seen.version }],
    changes: [putRequest(key, "counted", "never"), leave(key)],
  });
}

async function versionNow(key: RecordKey, ports: ProcessPorts): Promise<string> {
  const [seen] = await ports.state.get([key], deadline(ports));
  return seen?.version ?? "";
}

/** The version that was written; undefined on conflict. */
async function commit(ports: ProcessPorts, batch: Omit<Batch, "id">): Promise<string | undefined> {
  const id = ports.clock.id();
  const outcome = await ports.state.commit({ id, ...batch }, deadline(ports));
  return outcome.kind === "committed" ? id : undefined;
}

async function ignoringFaults(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Fault)) throw error; // the alarm repeats what a fault prevented
  }
}

function deadline(ports: ProcessPorts): AbortSignal {
  return ports.clock.deadline(ports.signal, CALL_MS);
}

function keyOf(kind: string, id: string, state: State): RecordKey {
  return { partition: partitionOf(id, state.traits.partitions), kind, id };
}

function indexOf(key: RecordKey): IndexKey {
  return { partition: key.partition, index: UNCOUNTED, of: [] };
}

function leave(key: RecordKey): Change {
  return { do: "leave", index: indexOf(key), member: key.id };
}

function putRequest(key: RecordKey, state: RequestState, wakeAt: EpochMs | "never"): Change {
  return { do: "put", key, value: { state }, wakeAt };
}

export function stateOf(stored: Stored): RequestState | undefined {
  const state = memberOf(stored.value, "state");
  return state === "open" || state === "claimed" || state === "counted" ? state : undefined;
}

export function numberOf(stored: Stored | undefined): number {
  const count = stored === undefined ? 0 : memberOf(stored.value, "count");
  return typeof count === "number" ? count : 0;
}

function memberOf(value: Json, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
