// The engine in the SQLite thread: groups of calls, each group one transaction.
// Owns:          reading calls from the tape, checks and changes of a batch, and answers.
// Must not know: threads, messages, clocks (`now` comes with the group).
// E1. Calls of a group are carried out in order. A batch whose checks fail changes nothing, and the others go on.
// E2. Batches were admitted by the other side: nothing can fail after the checks but the disk, and then the whole group is undone.
// E3. A batch without put leaves its id in no record; such ids are remembered for ten minutes (S1).

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { AssertionFailure, assert, messageOf } from "../../ports/fault.ts";
import type { Layout } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";
import { IndexLists } from "./index-lists.ts";
import { IndexTable } from "./index-table.ts";
import { later } from "./later.ts";
import { LogTable } from "./log-table.ts";
import { PayloadTable } from "./payload-table.ts";
import { RecordTable } from "./record-table.ts";
import { CALL, type Cell, CHANGE, CHECK, TapeReader } from "./tape.ts";

const REMEMBERED_MS = 600_000;

export type GroupAnswer =
  | { readonly kind: "answered"; readonly cells: readonly Cell[] }
  | { readonly kind: "failed"; readonly outcome: "undone" | "unknown"; readonly detail: string };

interface BatchHead {
  readonly id: string;
  readonly partition: number;
  readonly now: EpochMs;
}

export class Engine {
  readonly #db: DatabaseSync;
  readonly #records: RecordTable;
  readonly #indexes: IndexTable;
  readonly #lists: IndexLists;
  readonly #logs: LogTable;
  readonly #payloads: PayloadTable;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #rollback: StatementSync;
  readonly #remember: StatementSync;
  readonly #isRemembered: StatementSync;
  readonly #sweepRemembered: StatementSync;

  constructor(db: DatabaseSync, partitions: number, layout: Layout) {
    this.#db = db;
    this.#records = new RecordTable(db);
    this.#indexes = new IndexTable(db, partitions, layout);
    this.#lists = new IndexLists(db, this.#indexes);
    this.#logs = new LogTable(db, layout);
    this.#payloads = new PayloadTable(db);
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#rollback = db.prepare("ROLLBACK");
    this.#remember = db.prepare("INSERT INTO remembered (id, p, until) VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
    this.#isRemembered = db.prepare("SELECT 1 FROM remembered WHERE id = ?");
    this.#sweepRemembered = db.prepare(
      "DELETE FROM remembered WHERE id IN (SELECT id FROM remembered WHERE p = ? AND until <= ? ORDER BY until LIMIT ?)",
    );
  }

  /** Carries out all calls on the tape, or none when the disk fails. Programmer errors are thrown. */
  run(cells: readonly Cell[], now: EpochMs): GroupAnswer {
    const answers: Cell[] = [];
    let isCommitting = false;
    try {
      this.#begin.run();
      this.#records.forget();
      const tape = new TapeReader(cells);
      while (!tape.isDone) {
        const lengthAt = answers.push(0) - 1;
        this.#call(tape.part(), now, answers);
        answers[lengthAt] = answers.length - lengthAt - 1;
      }
      this.#indexes.flush();
      this.#logs.flush();
      isCommitting = true;
      this.#commit.run();
      return { kind: "answered", cells: answers };
    } catch (error) {
      if (error instanceof AssertionFailure) throw error;
      this.#undo();
      const detail = messageOf(error);
      return { kind: "failed", outcome: isCommitting ? "unknown" : "undone", detail };
    }
  }

  #undo(): void {
    if (this.#db.isTransaction) this.#rollback.run();
    this.#records.forget();
    this.#indexes.forget();
    this.#logs.forget();
  }

  #call(call: TapeReader, now: EpochMs, answer: Cell[]): void {
    const kind = call.number();
    switch (kind) {
      case CALL.commit:
        this.#commitBatch(call, now, answer);
        break;
      case CALL.get:
        this.#get(call, now, answer);
        break;
      case CALL.list:
        this.#list(call, now, answer);
        break;
      case CALL.count:
        this.#count(call, now, answer);
        break;
      case CALL.read:
        this.#read(call, now, answer);
        break;
      case CALL.take:
        for (const { name, at } of this.#records.take(call.number(), call.number(), call.number(), now))
          answer.push(name, at);
        break;
      case CALL.sweep:
        this.#sweep(call, now, answer);
        break;
      default:
        this.#callPayloads(kind, call, { now, answer });
    }
  }

  #callPayloads(
    kind: number,
    call: TapeReader,
    { now, answer }: { readonly now: EpochMs; readonly answer: Cell[] },
  ): void {
    switch (kind) {
      case CALL.putPayload:
        this.#payloads.put(call.text(), call.bytesOrNull() ?? new Uint8Array(), later(now, call.number()));
        break;
      case CALL.getPayload:
        answer.push(this.#payloads.get(call.text(), now) ?? null);
        break;
      case CALL.keepPayload:
        answer.push(this.#payloads.keep(call.text(), later(now, call.number()), now) ? 1 : 0);
        break;
      case CALL.deletePayload:
        this.#payloads.delete(call.text());
        break;
      case CALL.sweepPayloads: {
        const budget = call.number();
        const removed = this.#payloads.sweep(budget, now);
        answer.push(removed, removed < budget ? 1 : 0);
        break;
      }
      default:
        assert(false, "the call is known", { kind });
    }
  }

  #commitBatch(call: TapeReader, now: EpochMs, answer: Cell[]): void {
    const head: BatchHead = { id: call.text(), partition: call.number(), now };
    const checks = call.number();
    let failing: { readonly check: number; readonly name: string | undefined } | undefined;
    for (let check = 0; check < checks; check++) {
      const failed = this.#check(call, head);
      if (failed !== undefined && failing === undefined) failing = { check, name: failed.name };
    }
    const changes = call.number();
    const isDone = failing !== undefined && this.#isDone(call, changes, head);
    if (failing !== undefined && !isDone) {
      const found = failing.name === undefined ? undefined : this.#records.find(head.partition, failing.name, now);
      answer.push(0, failing.check, found?.version ?? null, found?.text ?? null);
      return;
    }
    if (failing === undefined) this.#applyAll(call, changes, head);
    answer.push(1);
    for (let tells = call.number(); tells > 0; tells--)
      answer.push(this.#indexes.count(head.partition, call.text(), { min: null, max: null }, now));
  }

  /** Undefined when the check holds; else the record that it is about, if it is about one. */
  #check(call: TapeReader, { partition, now }: BatchHead): { readonly name: string | undefined } | undefined {
    const kind = call.number();
    const name = call.text();
    switch (kind) {
      case CHECK.at:
        return this.#records.version(partition, name, now) === call.text() ? undefined : { name };
      case CHECK.absent:
        return this.#records.version(partition, name, now) === undefined ? undefined : { name };
      case CHECK.in:
        return this.#indexes.holds(partition, name, call.text(), now) ? undefined : { name: undefined };
      case CHECK.out:
        return this.#indexes.holds(partition, name, call.text(), now) ? { name: undefined } : undefined;
      default: {
        assert(kind === CHECK.fewer, "the check is known", { kind });
        const size = this.#indexes.count(partition, name, { min: null, max: null }, now);
        return size < call.number() ? undefined : { name: undefined };
      }
    }
  }

  /** Passes over the changes; true when one of the records carries the batch's id already, or the id is remembered. */
  #isDone(call: TapeReader, changes: number, head: BatchHead): boolean {
    let isDone = this.#isRemembered.get(head.id) !== undefined;
    for (let left = changes; left > 0; left--) {
      const kind = call.number();
      const name = call.text();
      if (kind === CHANGE.put) {
        isDone ||= this.#records.version(head.partition, name, head.now) === head.id;
        call.text();
        call.numberOrNull();
        call.numberOrNull();
      }
      if (kind !== CHANGE.put && kind !== CHANGE.delete) call.text();
      if (kind === CHANGE.enter || kind === CHANGE.attach) call.number();
    }
    return isDone;
  }

  #applyAll(call: TapeReader, changes: number, head: BatchHead): void {
    let hasPut = false;
    for (let left = changes; left > 0; left--) {
      const kind = call.number();
      if (kind === CHANGE.put) hasPut = true;
      this.#apply(kind, call, head);
    }
    if (!hasPut) this.#remember.run(head.id, head.partition, head.now + REMEMBERED_MS);
  }

  #apply(kind: number, call: TapeReader, { id, partition, now }: BatchHead): void {
    const name = call.text();
    switch (kind) {
      case CHANGE.put: {
        const text = call.text();
        const wakeAt = call.numberOrNull();
        const keepMs = call.numberOrNull();
        this.#records.put(
          { partition, name, version: id, text, wakeAt, expiresAt: keepMs === null ? null : later(now, keepMs) },
          now,
        );
        break;
      }
      case CHANGE.delete:
        this.#records.delete(partition, name);
        break;
      case CHANGE.enter:
        this.#indexes.enter(partition, name, call.text(), call.number());
        break;
      case CHANGE.leave:
        this.#indexes.leave(partition, name, call.text());
        break;
      case CHANGE.attach:
        this.#payloads.put(name, Buffer.from(call.text()), later(now, call.number()));
        break;
      default:
        assert(kind === CHANGE.append, "the change is known", { kind });
        this.#logs.append(partition, name, call.text(), now);
    }
  }

  #get(call: TapeReader, now: EpochMs, answer: Cell[]): void {
    for (let keys = call.number(); keys > 0; keys--) {
      const found = this.#records.find(call.number(), call.text(), now);
      answer.push(found?.version ?? null, found?.text ?? null);
    }
  }

  #list(call: TapeReader, now: EpochMs, answer: Cell[]): void {
    const [partition, name, min, max, down] = [
      call.number(),
      call.text(),
      call.numberOrNull(),
      call.numberOrNull(),
      call.number(),
    ];
    const [afterScore, afterMember, limit, examineMax] = [
      call.numberOrNull(),
      call.textOrNull(),
      call.number(),
      call.number(),
    ];
    const alsoIn: string[] = [];
    while (!call.isDone) alsoIn.push(call.text());
    const after = afterScore === null || afterMember === null ? undefined : { score: afterScore, member: afterMember };
    const listed = this.#lists.list(
      { partition, name, min, max, isDown: down === 1, after, limit, examineMax, alsoIn },
      now,
    );
    answer.push(listed.examined, listed.next?.score ?? null, listed.next?.member ?? null);
    for (const entry of listed.entries) answer.push(entry.member, entry.score);
  }

  #count(call: TapeReader, now: EpochMs, answer: Cell[]): void {
    while (!call.isDone) {
      const [partition, name] = [call.number(), call.text()];
      answer.push(this.#indexes.count(partition, name, { min: call.numberOrNull(), max: call.numberOrNull() }, now));
    }
  }

  #read(call: TapeReader, now: EpochMs, answer: Cell[]): void {
    const [partition, name, position, limit] = [call.number(), call.text(), call.number(), call.number()];
    const rows = this.#logs.read(partition, name, { position, limit: limit + 1 }, now);
    answer.push(rows.length > limit ? 1 : 0);
    for (const row of rows.slice(0, limit)) answer.push(row.position, row.text);
  }

  #sweep(call: TapeReader, now: EpochMs, answer: Cell[]): void {
    const [partition, budget] = [call.number(), call.number()];
    let left = budget - this.#records.sweep(partition, budget, now);
    if (left > 0) left -= Number(this.#sweepRemembered.run(partition, now, left).changes);
    let isDone = left > 0;
    for (const table of [this.#indexes, this.#logs]) {
      if (left === 0) break;
      const swept = table.sweep(partition, left, now);
      left -= swept.removed;
      isDone &&= swept.done;
    }
    answer.push(budget - left, isDone && left > 0 ? 1 : 0);
  }
}
