// State on Redis and Redis Cluster.
// Owns:          the port's members in terms of scripts and commands.
// Must not know: how batches travel (commit-lanes.ts), how keys are named (keys.ts), which server answers (redis-link.ts).
// The rules S1–S8 are the port's. Here they rest on:
// S1, S2, S8: commit-script.ts and commit-lanes.ts. S3, S4: keys.ts, store-checks.ts. S5, S6, S7: query-scripts.ts.

import { Fault } from "../../ports/fault.ts";
import type {
  Batch,
  Due,
  IndexRule,
  Layout,
  ListQuery,
  LogKey,
  LogPage,
  Outcome,
  Page,
  Partition,
  RecordKey,
  Span,
  State,
  StateTraits,
  Stored,
} from "../../ports/state.ts";
import type { EpochMs, Ms } from "../../ports/time.ts";
import { Admission, positive } from "../state/admission.ts";
import { CommitLanes, type LaneSettings } from "./commit-lanes.ts";
import { Gather } from "./gather.ts";
import {
  alarmsName,
  escapePart,
  indexName,
  logName,
  namesName,
  parseAlarm,
  prefixOf,
  STORE_KEY,
  slotOf,
  slotOfPartition,
} from "./keys.ts";
import { COUNT, LIST, READ, SWEEP, TAKE } from "./query-scripts.ts";
import { RecordReader } from "./record-reader.ts";
import { type Command, type RedisLink, scriptCommand } from "./redis-link.ts";
import type { Argument, Reply } from "./redis-node.ts";
import { parseTime } from "./store-checks.ts";
import { parseJson } from "./stored.ts";

export const STATE_LIMITS = { valueBytesMax: 1_048_576, changesMax: 4_096 } as const;
/** Inner commands get two arguments for each; Lua's stack ends at 8,000. */
const STEP_MAX = 1_000;
/** Entries that the lists of one call may look at: about a millisecond and a half of Redis. */
const EXAMINED_PER_CALL_MAX = 3_000;
const COUNTS_PER_CALL_MAX = 1_000;
/** Alarms of records that are gone are skipped this many times in one take. */
const TAKE_ROUNDS_MAX = 10;
const LOG_POSITION = /^\d{1,16}-\d{1,16}$/;

export interface RedisStateParts {
  readonly link: RedisLink;
  readonly partitions: number;
  readonly layout: Layout;
  readonly survives: StateTraits["survives"];
  readonly lanes: LaneSettings;
}

interface AskedList {
  readonly query: ListQuery;
  readonly keys: readonly string[];
  readonly args: readonly Argument[];
}

export class RedisState implements State {
  readonly traits: StateTraits;
  readonly #link: RedisLink;
  readonly #layout: Layout;
  readonly #admission: Admission;
  readonly #lanes: CommitLanes;
  readonly #reader: RecordReader;
  readonly #lists: Gather<AskedList>;
  readonly #counts: Gather<{ readonly key: string; readonly args: readonly Argument[] }>;
  #isClosed = false;

  constructor(parts: RedisStateParts) {
    const { link, partitions, layout, survives, lanes } = parts;
    this.traits = { partitions, survives, shared: true, attaches: !link.isCluster, ...STATE_LIMITS };
    this.#link = link;
    this.#layout = layout;
    this.#admission = new Admission(this.traits, layout);
    this.#lanes = new CommitLanes(link, this.#admission, lanes);
    this.#reader = new RecordReader(link, lanes.waitingMax);
    const gathers = { code: "STATE_UNAVAILABLE", waitingMax: lanes.waitingMax } as const;
    this.#lists = new Gather(link, {
      ...gathers,
      weightMax: EXAMINED_PER_CALL_MAX,
      weightOf: ({ query }) => (query.alsoIn.length === 0 ? Math.min(query.limit, query.examineMax) : query.examineMax),
      commandFor: (asked) =>
        scriptCommand(
          LIST,
          asked.flatMap(({ keys }) => keys),
          asked.flatMap(({ args }) => args),
        ),
    });
    this.#counts = new Gather(link, {
      ...gathers,
      weightMax: COUNTS_PER_CALL_MAX,
      weightOf: () => 1,
      commandFor: (asked) =>
        scriptCommand(
          COUNT,
          asked.map(({ key }) => key),
          asked.flatMap(({ args }) => args),
        ),
    });
    link.hold();
  }

  async get(keys: readonly RecordKey[], signal: AbortSignal): Promise<readonly (Stored | undefined)[]> {
    this.#requireOpen(signal);
    for (const key of keys) this.#admission.record(key);
    return await this.#reader.read(keys, signal);
  }

  commit(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    return this.#lanes.commit(batch, signal);
  }

  async list(query: ListQuery, signal: AbortSignal): Promise<Page> {
    this.#requireOpen(signal);
    const lead = this.#admission.list(query);
    const { span, after, alsoIn } = query;
    const from = after === undefined ? ["0", "", ""] : ["1", String(after.score), after.member];
    const keeps = [keepOf(lead), ...alsoIn.map((index) => keepOf(this.#admission.index(index)))];
    const keys = [span.index, ...alsoIn].map(indexName);
    const args = [keys.length, query.order, ...bounds(span), query.limit, query.examineMax, ...from, ...keeps];
    const [reply] = await this.#lists.ask([[this.#slotOf(span.index.partition), { query, keys, args }]], signal);
    return pageOf(reply);
  }

  async count(spans: readonly Span[], signal: AbortSignal): Promise<readonly number[]> {
    this.#requireOpen(signal);
    const asked = spans.map((span) => {
      const keepMs = keepOf(this.#admission.span(span));
      const { index } = span;
      return [this.#slotOf(index.partition), { key: indexName(index), args: [keepMs, ...bounds(span)] }] as const;
    });
    return (await this.#counts.ask(asked, signal)).map(Number);
  }

  async read(log: LogKey, after: string | undefined, limit: number, signal: AbortSignal): Promise<LogPage> {
    this.#requireOpen(signal);
    const rule = this.#admission.log(log);
    positive(limit, "limit");
    if (after !== undefined && !LOG_POSITION.test(after)) throw new Fault("STATE_REFUSED", "no position of a log");
    const command = scriptCommand(READ, [logName(log)], [after ?? "", Math.min(limit, STEP_MAX), rule.keepMs]);
    const [isMore, ...flat] = listOf(await this.#run(log.partition, command, signal));
    const entries = pairsOf(flat).map(([at, text]) => ({ at, entry: parseJson(log, text) }));
    const last = entries.at(-1);
    return isMore === 1 && last !== undefined ? { entries, next: last.at } : { entries };
  }

  async take(partition: Partition, limit: number, leaseMs: Ms, signal: AbortSignal): Promise<readonly Due[]> {
    this.#requireOpen(signal);
    this.#admission.partition(partition);
    positive(limit, "limit");
    positive(leaseMs, "leaseMs");
    const due: Due[] = [];
    for (let round = 1; round <= TAKE_ROUNDS_MAX && due.length < limit; round++) {
      const args = [Math.min(limit - due.length, STEP_MAX), leaseMs, prefixOf(partition)];
      const [gone, taken] = listOf(
        await this.#run(partition, scriptCommand(TAKE, [alarmsName(partition)], args), signal),
      );
      due.push(
        ...pairsOf(listOf(taken)).map(([member, at]) => ({ key: parseAlarm(partition, member), at: Number(at) })),
      );
      if (gone === 0) break;
    }
    return due;
  }

  async sweep(
    partition: Partition,
    budget: number,
    signal: AbortSignal,
  ): Promise<{ readonly removed: number; readonly done: boolean }> {
    this.#requireOpen(signal);
    this.#admission.partition(partition);
    positive(budget, "budget");
    const args: Argument[] = [Math.min(budget, STEP_MAX)];
    for (const [index, rule] of Object.entries(this.#layout.indexes)) {
      const keepMs = keepOf(rule);
      if (keepMs !== "") args.push(escapePart(index), keepMs);
    }
    const [removed, isDone] = listOf(
      await this.#run(partition, scriptCommand(SWEEP, [namesName(partition)], args), signal),
    );
    return { removed: Number(removed), done: isDone === 1 };
  }

  async now(signal: AbortSignal): Promise<EpochMs> {
    this.#requireOpen(signal);
    const options = { signal, code: "STATE_UNAVAILABLE" } as const;
    return parseTime(await this.#link.run(slotOf(STORE_KEY), { name: "TIME", args: [] }, options));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#lanes.close();
    this.#link.release();
  }

  #run(partition: Partition, command: Command, signal: AbortSignal): Promise<Reply> {
    return this.#link.run(this.#slotOf(partition), command, { signal, code: "STATE_UNAVAILABLE" });
  }

  #slotOf(partition: Partition): number {
    return this.#link.isCluster ? slotOfPartition(partition) : 0;
  }

  #requireOpen(signal: AbortSignal): void {
    if (this.#isClosed) throw new Fault("STATE_UNAVAILABLE", "the store is closed");
    if (signal.aborted) throw new Fault("STATE_UNAVAILABLE", "the call was given up before it was sent");
  }
}

function keepOf(rule: IndexRule | undefined): Ms | "" {
  return rule?.score !== "time" || rule.keepMs === "forever" ? "" : rule.keepMs;
}

function bounds(span: Span | undefined): readonly [string, string] {
  return [boundOf(span?.min ?? Number.NEGATIVE_INFINITY), boundOf(span?.max ?? Number.POSITIVE_INFINITY)];
}

function boundOf(score: number): string {
  if (Number.isFinite(score)) return String(score);
  return score < 0 ? "-inf" : "+inf";
}

/** Reply of LIST: {examined, is there more, last member, its score, member, score, …}. */
function pageOf(reply: Reply | undefined): Page {
  const [examined, isMore, member, score, ...flat] = listOf(reply);
  const entries = pairsOf(flat).map(([kept, at]) => ({ member: kept, score: Number(at) }));
  const page = { entries, examined: Number(examined) };
  return isMore === 1 ? { ...page, next: { member: String(member), score: Number(score) } } : page;
}

function listOf(reply: Reply | undefined): readonly Reply[] {
  return Array.isArray(reply) ? (reply as readonly Reply[]) : [];
}

function pairsOf(flat: readonly Reply[]): readonly (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([String(flat[i]), String(flat[i + 1])]);
  return pairs;
}
