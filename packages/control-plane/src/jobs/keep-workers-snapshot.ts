// Keeping the snapshot of workers where the original keeps it, and learning from it.
// Owns:          its key; which process writes it, and when others read it.
// Must not know: what it says (scheduling/workers-snapshot.ts).
// K1. Of several schedulers one writes, by rank; when it is gone the next does, a few seconds later. `captured_at` tells how old it is.
// K2. Workers of the official libraries say only once which topics they serve, when they start. Whoever starts later, or has missed it,
//     learns it here: it may be the only one that may use a worker's last slot. That may be the writer, too: it reads before it writes,
//     and whoever finds that the snapshot lacks what it has heard, or has what was said before, writes once itself. A gateway without a
//     scheduler may be the only one that has heard a worker which started while all schedulers were away.
// K3. What a worker has in hand is known by the processes that are there. Who is alone waits for the worker's own word before it places
//     anything with it: the last snapshot may be older than the last jobs it got.

import { messageOf } from "../ports/fault.ts";
import { readSnapshot, snapshotOf } from "../scheduling/workers-snapshot.ts";
import type { Backlog } from "./backlog.ts";
import type { JobParts } from "./job-parts.ts";

export const WORKERS_SNAPSHOT_KEY = "sys:workers:snapshot";
const BYTES_MAX = 2_097_152;
const TURNS_PER_READ = 6;

export class WorkersSnapshot {
  readonly #parts: JobParts;
  readonly #backlog: Backlog;
  #turns = 0;
  #wasWriter = false;

  constructor(parts: JobParts, backlog: Backlog) {
    this.#parts = parts;
    this.#backlog = backlog;
  }

  /** Reads it before anything is placed. Never rejects. */
  async start(signal: AbortSignal): Promise<void> {
    await this.read(signal);
    this.#wasWriter = this.#isWriter();
  }

  /** Reads it, now and then where others write, and writes it. Never rejects: what cannot be done now is done with the next turn. */
  async turn(signal: AbortSignal): Promise<void> {
    if (!isOfUse(this.#parts)) return;
    this.#wasWriter = this.#isWriter();
    const isDue = this.#turns++ % TURNS_PER_READ === 0;
    const found = this.#wasWriter || isDue ? await this.read(signal) : "all topics";
    if (this.#wasWriter || found === "not all topics") await this.#write(signal);
  }

  /** Another process has started, and will read. Never rejects. */
  async newcomer(signal: AbortSignal): Promise<void> {
    if (this.#wasWriter) await this.#write(signal);
  }

  #isWriter(): boolean {
    const { registry, clock, drives } = this.#parts;
    return drives && registry.isKeeperOf(WORKERS_SNAPSHOT_KEY, clock.now());
  }

  /** Whether it has all topics that this process has heard of. Never rejects: whatever is not learnt here, workers say in time. */
  async read(signal: AbortSignal): Promise<"all topics" | "not all topics"> {
    if (!isOfUse(this.#parts)) return "all topics";
    const { payloads, registry, placers, clock, settings, drives, log } = this.#parts;
    let lacks = false;
    try {
      const bytes = await payloads.get(WORKERS_SNAPSHOT_KEY, clock.deadline(signal, settings.storeTimeoutMs));
      if (bytes === undefined || bytes.length > BYTES_MAX) return "all topics";
      const now = clock.now();
      const mayPlace = !drives || !placers.isAlone(now);
      for (const recalled of readSnapshot(Buffer.from(bytes).toString("utf8"))) {
        const { workerId } = recalled.heartbeat;
        const isNews = registry.recallTopics(recalled, now);
        if ((mayPlace && registry.recall(recalled, now)) || isNews)
          this.#backlog.hint(drives ? registry.find(workerId, now) : undefined);
        lacks ||= registry.knowsLater(recalled, now);
      }
    } catch (error) {
      if (!signal.aborted) log.warn("workers.snapshot_not_read", { reason: messageOf(error) });
    }
    return lacks ? "not all topics" : "all topics";
  }

  async #write(signal: AbortSignal): Promise<void> {
    const { payloads, clock, settings, log } = this.#parts;
    const until = clock.deadline(signal, settings.storeTimeoutMs);
    try {
      await payloads.put(WORKERS_SNAPSHOT_KEY, snapshotBytes(this.#parts), settings.contextKeepMs, until);
    } catch (error) {
      if (!signal.aborted) log.warn("workers.snapshot_not_written", { reason: messageOf(error) });
    }
  }
}

/** Where workers and this process live and die together, nobody needs it. */
function isOfUse({ payloads, bus }: JobParts): boolean {
  return payloads.traits.shared || bus.traits.shared;
}

/** With fewer in each list where they say too much. */
function snapshotBytes({ registry, clock, scheduling }: JobParts): Uint8Array {
  const now = clock.now();
  const workers = registry.alive(now);
  let listedMax: number | undefined;
  for (;;) {
    const snapshot = snapshotOf(workers, scheduling.current.routing, now, listedMax);
    const bytes = Buffer.from(JSON.stringify(snapshot));
    if (bytes.length <= BYTES_MAX || snapshot.workers.length === 0) return bytes;
    listedMax = Math.floor(snapshot.workers.length / 2);
  }
}
