// State on SQLite: what the port says, written on the tape.
// Owns:          admission of calls, their cells, reading the answers.
// Must not know: SQL; how cells travel (thread-link.ts).

import type { Clock } from "../../ports/clock.ts";
import { Fault } from "../../ports/fault.ts";
import type { Json } from "../../ports/json.ts";
import type {
  Batch,
  Due,
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
import { indexName, logName, parseRecordName, recordName } from "../state/names.ts";
import { batchCells } from "./batch-cells.ts";
import { CALL, type Cell, type TapeReader } from "./tape.ts";
import type { CallFaults, ThreadLink } from "./thread-link.ts";

const WRITES: CallFaults = { unsent: "STATE_UNAVAILABLE", unanswered: "STATE_OUTCOME_UNKNOWN" };
const READS: CallFaults = { unsent: "STATE_UNAVAILABLE", unanswered: "STATE_UNAVAILABLE" };

export interface SqliteStateOptions {
  readonly clock: Clock;
  readonly layout: Layout;
  readonly partitions: number;
  readonly valueBytesMax: number;
  readonly changesMax: number;
}

export class SqliteState implements State {
  readonly traits: StateTraits;
  readonly #link: ThreadLink;
  readonly #clock: Clock;
  readonly #admission: Admission;

  constructor(link: ThreadLink, { clock, layout, partitions, valueBytesMax, changesMax }: SqliteStateOptions) {
    this.traits = { partitions, survives: "power", shared: false, valueBytesMax, changesMax, attaches: true };
    this.#link = link;
    this.#clock = clock;
    this.#admission = new Admission(this.traits, layout);
  }

  async get(keys: readonly RecordKey[], signal: AbortSignal): Promise<readonly (Stored | undefined)[]> {
    const cells: Cell[] = [CALL.get, keys.length];
    for (const key of keys) {
      this.#admission.record(key);
      cells.push(key.partition, recordName(key));
    }
    const answer = await this.#link.call(cells, READS, signal);
    return keys.map((key) => readStored(answer, key));
  }

  async commit(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    const cells = batchCells(batch, this.#admission.batch(batch));
    const answer = await this.#link.call(cells, WRITES, signal);
    if (answer.number() === 1) {
      const sizes: number[] = [];
      while (!answer.isDone) sizes.push(answer.number());
      return { kind: "committed", sizes };
    }
    const position = answer.number();
    const check = batch.checks[position];
    const found = check !== undefined && "key" in check ? readStored(answer, check.key) : undefined;
    return { kind: "conflict", check: position, found };
  }

  async list(query: ListQuery, signal: AbortSignal): Promise<Page> {
    this.#admission.list(query);
    const { span, after, order, limit, examineMax, alsoIn } = query;
    const { index, min = null, max = null } = span;
    const cells: Cell[] = [CALL.list, index.partition, indexName(index), min, max, order === "down" ? 1 : 0];
    cells.push(after?.score ?? null, after?.member ?? null, limit, examineMax);
    for (const also of alsoIn) cells.push(indexName(also));
    const answer = await this.#link.call(cells, READS, signal);
    const examined = answer.number();
    const [score, member] = [answer.numberOrNull(), answer.textOrNull()];
    const entries: Position[] = [];
    while (!answer.isDone) entries.push({ member: answer.text(), score: answer.number() });
    return score === null || member === null ? { entries, examined } : { entries, examined, next: { score, member } };
  }

  async count(spans: readonly Span[], signal: AbortSignal): Promise<readonly number[]> {
    const cells: Cell[] = [CALL.count];
    for (const span of spans) {
      this.#admission.span(span);
      const { index, min = null, max = null } = span;
      cells.push(index.partition, indexName(index), min, max);
    }
    const answer = await this.#link.call(cells, READS, signal);
    return spans.map(() => answer.number());
  }

  async read(log: LogKey, after: string | undefined, limit: number, signal: AbortSignal): Promise<LogPage> {
    this.#admission.log(log);
    positive(limit, "limit");
    const answer = await this.#link.call(
      [CALL.read, log.partition, logName(log), parseLogPosition(after), limit],
      READS,
      signal,
    );
    const hasMore = answer.number() === 1;
    const entries: { readonly at: string; readonly entry: Json }[] = [];
    while (!answer.isDone) entries.push({ at: String(answer.number()), entry: parsedValue(answer.text()) });
    const last = entries.at(-1);
    return hasMore && last !== undefined ? { entries, next: last.at } : { entries };
  }

  async take(partition: Partition, limit: number, leaseMs: Ms, signal: AbortSignal): Promise<readonly Due[]> {
    this.#admission.partition(partition);
    positive(limit, "limit");
    positive(leaseMs, "leaseMs");
    const answer = await this.#link.call([CALL.take, partition, limit, leaseMs], WRITES, signal);
    const due: Due[] = [];
    while (!answer.isDone) due.push({ key: { partition, ...parseRecordName(answer.text()) }, at: answer.number() });
    return due;
  }

  async sweep(partition: Partition, budget: number, signal: AbortSignal): Promise<{ removed: number; done: boolean }> {
    this.#admission.partition(partition);
    positive(budget, "budget");
    const answer = await this.#link.call([CALL.sweep, partition, budget], WRITES, signal);
    return { removed: answer.number(), done: answer.number() === 1 };
  }

  /** The thread has no clock of its own: the store's time is this process' time. */
  async now(signal: AbortSignal): Promise<EpochMs> {
    if (signal.aborted) throw new Fault("STATE_UNAVAILABLE", "the call was given up before it was sent");
    return this.#clock.now();
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}

function readStored(answer: TapeReader, key: RecordKey): Stored | undefined {
  const [version, text] = [answer.textOrNull(), answer.textOrNull()];
  return version === null || text === null ? undefined : { key, version, value: parsedValue(text) };
}

/** Our own text: it was made by JSON.stringify. */
function parsedValue(text: string): Json {
  return JSON.parse(text);
}
