// State against a naive model: random batches, lists, counts, reads and takes give the same answers.
// Owns:          the model (plain maps and sorting) and how random steps are drawn.
// Must not know: which engine is tried. Time plays no part here: alarms are long due or far away, nothing expires.

import fc from "fast-check";
import { expect } from "vitest";
import type { Batch, Change, Check, IndexKey, Position, RecordKey } from "../ports/state.ts";
import { type Checks, never, newCommitId, type Run, type Scene } from "./state-scene.ts";

interface Row {
  readonly key: RecordKey;
  readonly version: string;
  readonly value: number;
  wakeAt: number | "never";
}

/** What a store holds, in the plainest form. */
class Model {
  readonly records = new Map<string, Row>();
  readonly indexes = new Map<string, Map<string, number>>();
  readonly log: number[] = [];
  readonly done = new Set<string>();

  index(key: IndexKey): Map<string, number> {
    const name = key.of.join();
    const members = this.indexes.get(name) ?? new Map<string, number>();
    this.indexes.set(name, members);
    return members;
  }

  holds(check: Check): boolean {
    switch (check.is) {
      case "at":
        return this.records.get(check.key.id)?.version === check.version;
      case "absent":
        return !this.records.has(check.key.id);
      case "in":
        return this.index(check.index).has(check.member);
      case "out":
        return !this.index(check.index).has(check.member);
      case "fewer":
        return this.index(check.index).size < check.than;
    }
  }

  apply(change: Change, id: string): void {
    switch (change.do) {
      case "put":
        this.records.set(change.key.id, {
          key: change.key,
          version: id,
          value: Number(change.value),
          wakeAt: change.wakeAt,
        });
        break;
      case "delete":
        this.records.delete(change.key.id);
        break;
      case "enter":
        this.index(change.index).set(change.member, change.score);
        break;
      case "leave":
        this.index(change.index).delete(change.member);
        break;
      case "append":
        this.log.push(Number(change.entry));
        break;
    }
  }

  commit(batch: Batch): unknown {
    const failing = batch.checks.findIndex((check) => !this.holds(check));
    const check = batch.checks[failing];
    if (check !== undefined) {
      const row = "key" in check ? this.records.get(check.key.id) : undefined;
      const found = row === undefined ? undefined : { key: row.key, version: row.version, value: row.value };
      return { kind: "conflict", check: failing, found };
    }
    for (const change of batch.changes) this.apply(change, batch.id);
    return { kind: "committed", sizes: (batch.tell ?? []).map((index) => this.index(index).size) };
  }

  sorted(index: IndexKey, order: "up" | "down"): readonly Position[] {
    const up = [...this.index(index)].map(([member, score]) => ({ member, score })).sort(compare);
    return order === "up" ? up : up.reverse();
  }

  /** All due keys, oldest first; ties are open. */
  take(limit: number, dueBefore: number): readonly Row[] {
    const due = [...this.records.values()].filter((row) => row.wakeAt !== "never" && row.wakeAt < dueBefore);
    return due.sort((a, b) => Number(a.wakeAt) - Number(b.wakeAt)).slice(0, limit);
  }
}

function compare(a: Position, b: Position): number {
  if (a.score !== b.score) return a.score - b.score;
  if (a.member === b.member) return 0;
  return a.member < b.member ? -1 : 1;
}

const FAR_AWAY = 8_000_000_000_000;
const ids = fc.constantFrom("a", "b", "c", "d");
const members = fc.constantFrom("m1", "m2", "m3", "m4", "m5");
const scores = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom(0.5, -0.5, 1e12));
const parts = fc.constantFrom("x", "y");

type Draft =
  | {
      readonly step: "commit";
      readonly checks: readonly DraftCheck[];
      readonly changes: readonly DraftChange[];
      readonly again: boolean;
    }
  | {
      readonly step: "list";
      readonly of: string;
      readonly alsoIn: readonly string[];
      readonly order: "up" | "down";
      readonly limit: number;
      readonly examineMax: number;
    }
  | { readonly step: "count"; readonly of: string; readonly min: number; readonly max: number }
  | { readonly step: "read"; readonly limit: number }
  | { readonly step: "take"; readonly limit: number };
type DraftCheck = {
  readonly is: Check["is"];
  readonly id: string;
  readonly of: string;
  readonly member: string;
  readonly than: number;
  readonly right: boolean;
};
type DraftChange = {
  readonly do: Change["do"];
  readonly id: string;
  readonly of: string;
  readonly member: string;
  readonly score: number;
  readonly due: number;
};

const draftCheck: fc.Arbitrary<DraftCheck> = fc.record({
  is: fc.constantFrom("at", "absent", "in", "out", "fewer"),
  id: ids,
  of: parts,
  member: members,
  than: fc.integer({ min: 0, max: 6 }),
  right: fc.boolean(),
});
const draftChange: fc.Arbitrary<DraftChange> = fc.record({
  do: fc.constantFrom("put", "put", "delete", "enter", "enter", "enter", "leave", "append"),
  id: ids,
  of: parts,
  member: members,
  score: scores,
  due: fc.integer({ min: 0, max: 3 }),
});
const draft: fc.Arbitrary<Draft> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      step: fc.constant("commit" as const),
      checks: fc.array(draftCheck, { maxLength: 2 }),
      changes: fc.array(draftChange, { maxLength: 8 }),
      again: fc.boolean(),
    }),
  },
  fc.record({
    step: fc.constant("list" as const),
    of: parts,
    alsoIn: fc.array(parts, { maxLength: 1 }),
    order: fc.constantFrom("up" as const, "down" as const),
    limit: fc.integer({ min: 1, max: 4 }),
    examineMax: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({ step: fc.constant("count" as const), of: parts, min: scores, max: scores }),
  fc.record({ step: fc.constant("read" as const), limit: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ step: fc.constant("take" as const), limit: fc.integer({ min: 1, max: 3 }) }),
);

/** One run: a model and a corner of the store of its own (names carry the run's number). */
class Trial {
  readonly #scene: Scene;
  readonly #model = new Model();
  readonly #name: string;

  constructor(scene: Scene, name: string) {
    this.#scene = scene;
    this.#name = name;
  }

  #key(id: string): RecordKey {
    return this.#scene.key(`${this.#name}-${id}`);
  }

  #index(of: string): IndexKey {
    return this.#scene.index("rank", this.#name, of);
  }

  #check(drafted: DraftCheck): Check {
    const key = this.#key(drafted.id);
    const version = this.#model.records.get(key.id)?.version;
    if (drafted.is === "at")
      return { is: "at", key, version: drafted.right && version !== undefined ? version : "wrong" };
    if (drafted.is === "absent") return { is: "absent", key };
    if (drafted.is === "fewer") return { is: "fewer", index: this.#index(drafted.of), than: drafted.than };
    return { is: drafted.is, index: this.#index(drafted.of), member: drafted.member };
  }

  #change(drafted: DraftChange): Change {
    const wakeAt = [1, 2, FAR_AWAY, "never" as const][drafted.due] ?? "never";
    if (drafted.do === "put") return { do: "put", key: this.#key(drafted.id), value: drafted.score, wakeAt };
    if (drafted.do === "delete") return { do: "delete", key: this.#key(drafted.id) };
    if (drafted.do === "append")
      return { do: "append", log: this.#scene.log("long", this.#name), entry: drafted.score };
    const { member, score } = drafted;
    const index = this.#index(drafted.of);
    return drafted.do === "enter" ? { do: "enter", index, member, score } : { do: "leave", index, member };
  }

  /** Every batch writes a marker record under "absent", so that a duplicate is one (S1). */
  async #commit(drafted: Draft & { step: "commit" }): Promise<void> {
    const marker = this.#key(`marker-${newCommitId()}`);
    const checks: Checks = [{ is: "absent", key: marker }, ...drafted.checks.map((check) => this.#check(check))];
    const changes: readonly Change[] = [
      ...drafted.changes.map((change) => this.#change(change)),
      { do: "put", key: marker, value: 0, wakeAt: "never" },
    ];
    const batch = this.#scene.batch(checks, changes, [this.#index("x"), this.#index("y")]);
    const expected = this.#model.commit(batch);
    expect(await this.#scene.state.commit(batch, never)).toEqual(expected);
    const committed = this.#model.records.has(marker.id);
    if (drafted.again && committed) expect(await this.#scene.state.commit(batch, never)).toEqual(expected);
  }

  async #list(drafted: Draft & { step: "list" }): Promise<void> {
    const { order, limit, examineMax } = drafted;
    const alsoIn = drafted.alsoIn.map((of) => this.#index(of));
    const all = this.#model.sorted(this.#index(drafted.of), order);
    const expected = all.filter((entry) => alsoIn.every((index) => this.#model.index(index).has(entry.member)));
    const found: Position[] = [];
    let after: Position | undefined;
    do {
      const asked = { span: { index: this.#index(drafted.of) }, alsoIn, order, limit, examineMax };
      const page = await this.#scene.state.list(after === undefined ? asked : { ...asked, after }, never);
      found.push(...page.entries);
      after = page.next;
    } while (after !== undefined);
    expect(found).toEqual(expected);
  }

  async #take(limit: number): Promise<void> {
    const leaseMs = 3_600_000;
    const now = await this.#scene.now();
    const due = await this.#scene.state.take(this.#scene.partition, limit, leaseMs, never);
    const expected = this.#model.take(limit, now);
    expect(due.map((taken) => taken.at)).toEqual(expected.map((row) => row.wakeAt));
    for (const taken of due) {
      const row = this.#model.records.get(taken.key.id);
      expect(row?.wakeAt).toBe(taken.at);
      if (row !== undefined) row.wakeAt = FAR_AWAY;
    }
  }

  async step(drafted: Draft): Promise<void> {
    switch (drafted.step) {
      case "commit":
        return this.#commit(drafted);
      case "list":
        return this.#list(drafted);
      case "take":
        return this.#take(drafted.limit);
      case "count": {
        const index = this.#index(drafted.of);
        const { min, max } = drafted;
        const expected = [...this.#model.index(index).values()].filter((score) => score >= min && score <= max).length;
        expect(await this.#scene.state.count([{ index, min, max }], never)).toEqual([expected]);
        return;
      }
      case "read": {
        const page = await this.#scene.state.read(this.#scene.log("long", this.#name), undefined, drafted.limit, never);
        expect(page.entries.map((entry) => entry.entry)).toEqual(this.#model.log.slice(0, drafted.limit));
      }
    }
  }

  /** Compares all records, then removes them with their alarms, so that the next run starts without any. */
  async end(): Promise<void> {
    const rows = [...this.#model.records.values()];
    const found = await this.#scene.state.get(
      rows.map((row) => row.key),
      never,
    );
    expect(found).toEqual(rows.map((row) => ({ key: row.key, version: row.version, value: row.value })));
    for (const row of rows) {
      await this.#scene.must([{ is: "at", key: row.key, version: row.version }], [{ do: "delete", key: row.key }]);
    }
  }
}

/** `runs` random histories, each in its own corner of one store. */
export function modelRule(run: Run, runs: number): void {
  run(`S1–S7: ${runs} random histories go as the model says`, async (s) => {
    let trials = 0;
    const property = fc.asyncProperty(fc.array(draft, { maxLength: 14 }), async (drafts) => {
      const trial = new Trial(s, `t${++trials}`);
      for (const drafted of drafts) await trial.step(drafted);
      await trial.end();
    });
    await fc.assert(property, { numRuns: runs, endOnFailure: true });
  });
}
