// State in memory: for tests, the simulation and demos. Nothing survives the process.
// Owns:          the port on top of synchronous partitions; what the simulation may see of the inside.
// Must not know: what records mean.
// D1. Deterministic: a call is done when it is called, its answer comes with the next microtask; time is the Clock's.
// D2. Values are kept as JSON text, so that neither side sees what the other does to an object afterwards.

import type { Clock } from "../../ports/clock.ts";
import { Fault } from "../../ports/fault.ts";
import type { Json } from "../../ports/json.ts";
import type {
  Batch,
  Due,
  IndexKey,
  Layout,
  ListQuery,
  LogKey,
  LogPage,
  Outcome,
  Page,
  Partition,
  Position,
  RecordKey,
  Span,
  State,
  StateTraits,
  Stored,
} from "../../ports/state.ts";
import type { EpochMs, Ms } from "../../ports/time.ts";
import { Admission, positive } from "../state/admission.ts";
import { parseLogPosition } from "../state/log-position.ts";
import type { MemoryPayloads } from "./memory-payloads.ts";
import { PartitionStore, parsedValue } from "./partition-store.ts";

export interface MemoryStateOptions {
  readonly partitions: number;
  readonly layout: Layout;
  readonly clock: Clock;
  /** Default 1 MiB. */
  readonly valueBytesMax?: number;
  /** Default 4,096. */
  readonly changesMax?: number;
  /** Where batches put payloads; without, they cannot. */
  readonly payloads?: Pick<MemoryPayloads, "attach">;
}

/** Everything that is stored, expired things included, in a stable order. For invariants of the simulation. */
export interface Dump {
  readonly records: readonly {
    readonly stored: Stored;
    readonly alarmAt: EpochMs | "never";
    readonly expiresAt: EpochMs | undefined;
  }[];
  readonly indexes: readonly { readonly key: IndexKey; readonly entries: readonly Position[] }[];
  readonly logs: readonly { readonly key: LogKey; readonly entries: readonly Json[] }[];
}
export interface MemoryState extends State {
  dump(): Dump;
  /** Remembers everything as it is now; the answer puts it back. For simulated failovers that lose the newest writes. */
  snapshot(): () => void;
}

export function memoryState(options: MemoryStateOptions): MemoryState {
  return new MemoryStateAdapter(options);
}

class MemoryStateAdapter implements MemoryState {
  readonly traits: StateTraits;
  readonly #clock: Clock;
  readonly #admission: Admission;
  #stores: readonly PartitionStore[];
  #isClosed = false;

  constructor({ partitions, layout, clock, payloads, ...limits }: MemoryStateOptions) {
    const { valueBytesMax = 1 << 20, changesMax = 4096 } = limits;
    const attaches = payloads !== undefined;
    this.traits = { partitions, survives: "nothing", shared: false, valueBytesMax, changesMax, attaches };
    this.#clock = clock;
    this.#admission = new Admission(this.traits, layout);
    this.#stores = Array.from({ length: partitions }, () => new PartitionStore(this.#admission, payloads));
  }

  async get(keys: readonly RecordKey[], signal: AbortSignal): Promise<readonly (Stored | undefined)[]> {
    this.#assertOpen(signal);
    const now = this.#clock.now();
    for (const key of keys) this.#admission.record(key);
    return keys.map((key) => this.#store(key.partition).find(key, now));
  }

  async commit(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    this.#assertOpen(signal);
    const texts = this.#admission.batch(batch);
    return this.#store(batch.partition).commit(batch, texts, this.#clock.now());
  }

  async list(query: ListQuery, signal: AbortSignal): Promise<Page> {
    this.#assertOpen(signal);
    this.#admission.list(query);
    return this.#store(query.span.index.partition).list(query, this.#clock.now());
  }

  async count(spans: readonly Span[], signal: AbortSignal): Promise<readonly number[]> {
    this.#assertOpen(signal);
    for (const span of spans) this.#admission.span(span);
    const now = this.#clock.now();
    return spans.map((span) => this.#store(span.index.partition).count(span, now));
  }

  async read(log: LogKey, after: string | undefined, limit: number, signal: AbortSignal): Promise<LogPage> {
    this.#assertOpen(signal);
    this.#admission.log(log);
    positive(limit, "limit");
    const rows = this.#store(log.partition).read(log, parseLogPosition(after), limit + 1, this.#clock.now());
    const entries = rows.slice(0, limit).map((row) => ({ at: String(row.position), entry: parsedValue(row.text) }));
    const last = entries.at(-1);
    return rows.length > limit && last !== undefined ? { entries, next: last.at } : { entries };
  }

  async take(partition: Partition, limit: number, leaseMs: Ms, signal: AbortSignal): Promise<readonly Due[]> {
    this.#assertOpen(signal);
    positive(limit, "limit");
    positive(leaseMs, "leaseMs");
    return this.#store(partition).take(limit, leaseMs, this.#clock.now());
  }

  async sweep(partition: Partition, budget: number, signal: AbortSignal): Promise<{ removed: number; done: boolean }> {
    this.#assertOpen(signal);
    positive(budget, "budget");
    return this.#store(partition).sweep(budget, this.#clock.now());
  }

  async now(signal: AbortSignal): Promise<EpochMs> {
    this.#assertOpen(signal);
    return this.#clock.now();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  snapshot(): () => void {
    const kept = this.#stores.map((store) => store.copy());
    return () => {
      this.#stores = kept.map((store) => store.copy());
    };
  }

  dump(): Dump {
    const stores = this.#stores;
    return {
      records: stores.flatMap((store) =>
        [...store.records].sort(byName).map(([name, row]) => ({
          stored: lazilyParsed(row),
          alarmAt: store.alarms.scoreOf(name) ?? "never",
          expiresAt: row.expiresAt,
        })),
      ),
      indexes: stores.flatMap((store) =>
        [...store.indexes]
          .sort(byName)
          .map(([, index]) => ({ key: index.key, entries: [...index.set.up(Number.NEGATIVE_INFINITY, "")] })),
      ),
      logs: stores.flatMap((store) =>
        [...store.logs]
          .sort(byName)
          .map(([, { key, rows }]) => ({ key, entries: rows.all().map((row) => parsedValue(row.text)) })),
      ),
    };
  }

  #store(partition: Partition): PartitionStore {
    this.#admission.partition(partition);
    const store = this.#stores[partition];
    if (store === undefined) throw new Fault("STATE_REFUSED", `there is no partition ${partition}`);
    return store;
  }

  #assertOpen(signal: AbortSignal): void {
    if (this.#isClosed) throw new Fault("STATE_UNAVAILABLE", "the state store is closed");
    if (signal.aborted)
      throw new Fault("STATE_UNAVAILABLE", "the call was given up before it was sent", { cause: signal.reason });
  }
}

/** Whoever knows the version already need not have it parsed again. */
function lazilyParsed({
  key,
  version,
  text,
}: {
  readonly key: RecordKey;
  readonly version: string;
  readonly text: string;
}): Stored {
  return {
    key,
    version,
    get value() {
      return parsedValue(text);
    },
  };
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
