// Ports of a simulated process: every call waits in the world's queue.
// Owns:          State and Payloads in front of the real ones; the clock of one life.
// Must not know: which fate a call will have.

import { createDeadline } from "../adapters/system/deadlines.ts";
import type { SeededRandom } from "../adapters/system/seeded-random.ts";
import type { Clock } from "../ports/clock.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { Batch, IndexKey, RecordKey, State } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import type { CallAbout, CallQueue } from "./calls.ts";
import type { CallKind } from "./fate.ts";
import type { Life } from "./process.ts";
import type { Store } from "./store.ts";

/** The real call has no deadline of its own: the queued one has. */
const never = new AbortController().signal;
const ID_BYTES = 9;

/** Hears of each batch that was applied, once, and whose it was. */
export type OnCommit = (batch: Batch, who: string) => void;

export function simState(store: Store, queue: CallQueue, life: Life, onCommit: OnCommit): State {
  const about = (method: string, kind: CallKind, key: string): CallAbout => ({
    life,
    port: "state",
    method,
    kind,
    key,
  });
  return {
    traits: store.state.traits,
    get: (keys, signal) =>
      queue.enqueue(about("get", "read", keys.map(recordName).join()), signal, () => store.state.get(keys, never)),
    commit: (batch, signal) =>
      queue.enqueue(
        {
          ...about("commit", "commit", `${batch.id} ${batch.changes.map(changeName).join()}`),
          contend: () => void store.touch(batch),
        },
        signal,
        async () => {
          const { outcome, isNew } = await store.commit(batch);
          if (isNew) onCommit(batch, life.label);
          return outcome;
        },
      ),
    list: (query, signal) =>
      queue.enqueue(about("list", "read", indexName(query.span.index)), signal, () => store.state.list(query, never)),
    count: (spans, signal) =>
      queue.enqueue(about("count", "read", spans.map((span) => indexName(span.index)).join()), signal, () =>
        store.state.count(spans, never),
      ),
    read: (log, after, limit, signal) =>
      queue.enqueue(about("read", "read", `${log.log}/${log.of}`), signal, () =>
        store.state.read(log, after, limit, never),
      ),
    // A take moves alarms: what was taken and never heard of comes back after the lease.
    take: (partition, limit, leaseMs, signal) =>
      queue.enqueue(about("take", "read", String(partition)), signal, () =>
        store.state.take(partition, limit, leaseMs, never),
      ),
    sweep: (partition, budget, signal) =>
      queue.enqueue(about("sweep", "read", String(partition)), signal, () =>
        store.state.sweep(partition, budget, never),
      ),
    now: (signal) => queue.enqueue(about("now", "read", ""), signal, () => store.state.now(never)),
    close: async () => undefined, // the store outlives the process
  };
}

function recordName(key: RecordKey): string {
  return `${key.kind}:${key.id}`;
}

function indexName(key: IndexKey): string {
  return `${key.partition}/${key.index}/${key.of.join("/")}`;
}

function changeName(change: Batch["changes"][number]): string {
  if (change.do === "put" || change.do === "delete") return `${change.do} ${recordName(change.key)}`;
  if (change.do === "attach") return `attach ${change.key}`;
  return change.do === "append" ? `append ${change.log.log}` : `${change.do} ${change.index.index}`;
}

export function simPayloads(target: Payloads, queue: CallQueue, life: Life): Payloads {
  const about = (method: string, kind: CallKind, key: string): CallAbout => ({
    life,
    port: "payloads",
    method,
    kind,
    key,
  });
  return {
    traits: target.traits,
    put: (key, bytes, ttlMs, signal) =>
      queue.enqueue(about("put", "write", key), signal, () => target.put(key, bytes, ttlMs, never)),
    get: (key, signal) => queue.enqueue(about("get", "read", key), signal, () => target.get(key, never)),
    inspect: (key, limits, signal) =>
      queue.enqueue(about("inspect", "read", key), signal, () => target.inspect(key, limits, never)),
    keep: (key, ttlMs, signal) =>
      queue.enqueue(about("keep", "write", key), signal, () => target.keep(key, ttlMs, never)),
    delete: (key, signal) => queue.enqueue(about("delete", "write", key), signal, () => target.delete(key, never)),
    sweep: (budget, signal) => queue.enqueue(about("sweep", "read", ""), signal, () => target.sweep(budget, never)),
    close: async () => undefined,
  };
}

/** Time of the world as a moving target: what a clock needs of it. */
export interface WorldTime {
  now(): EpochMs;
  /** Returns how to call it off. */
  startTimer(ms: Ms, fire: () => void): () => void;
}

/** The clock of one life: the world's time, off as hosts are, and chance of its own. */
export function simClock(
  time: WorldTime,
  life: Life,
  options: { readonly startAt: EpochMs; readonly error: (livedMs: Ms) => Ms; readonly chance: SeededRandom },
): Clock {
  const { startAt, error, chance } = options;
  const bornAt = time.now();
  const mono = (): Ms => time.now() - startAt;
  const startTimer = (ms: Ms, fire: () => void): (() => void) =>
    time.startTimer(ms, () => {
      if (life.isAlive) fire();
    });
  return {
    now: () => time.now() + error(time.now() - bornAt),
    mono,
    sleep: (ms, signal) => {
      if (signal.aborted) return Promise.resolve(false);
      return new Promise((resolve) => {
        const onAbort = (): void => {
          stop();
          resolve(false);
        };
        const stop = startTimer(ms, () => {
          signal.removeEventListener("abort", onAbort);
          resolve(true);
        });
        signal.addEventListener("abort", onAbort, { once: true });
      });
    },
    deadline: createDeadline(mono, startTimer),
    random: chance.next,
    id: (bytes = ID_BYTES) => chance.id(bytes),
  };
}
