import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json } from "../ports/json.ts";
import { type Job, OPEN_STATES, type Phase, type StopOrder, TERMINAL_STATES } from "./job.ts";
import { parseJob, writeJob } from "./job-codec.ts";

const text = fc.string({ maxLength: 12 });
const hash = fc.oneof(
  text.map((seed) => createHash("sha256").update(seed).digest("hex")),
  text,
);
const moment = fc.integer({ min: 1_600_000_000_000, max: 2_000_000_000_000 });
const texts = fc.array(text, { maxLength: 3 });
const waiting = fc.constantFrom("placing" as const, "no_workers" as const, "rule_limit" as const);
const ask = fc.record({ at: moment, jobHash: hash, ruleId: text, ruleHash: hash, snapshot: text, reason: text });
const dispatch = fc
  .record({
    id: text,
    workerId: text,
    instance: fc.option(text, { nil: null }),
    pool: text,
    subject: text,
    direct: fc.boolean(),
    at: moment,
    limits: texts,
    heard: fc.boolean(),
  })
  .chain((made) => fc.constantFrom(made, { ...made, direct: true, subject: `worker.${made.workerId}.jobs` }));
const outcome = fc.record({
  at: moment,
  code: text,
  message: text,
  resultPtr: text,
  workerId: text,
  executionMs: fc.nat(),
  artifactPtrs: texts,
  reported: text,
  by: text,
});
const phase: fc.Arbitrary<Phase> = fc.oneof(
  fc.record({ state: fc.constant("PENDING" as const), waiting }),
  fc.record({ state: fc.constant("APPROVAL_REQUIRED" as const), ask }),
  fc.record({ state: fc.constant("SCHEDULED" as const), waiting, pools: texts }),
  fc.record({ state: fc.constant("SCHEDULED" as const), waiting, pools: texts, limit: text }),
  fc.record({ state: fc.constantFrom("DISPATCHED" as const, "RUNNING" as const), dispatch, percent: fc.nat(100) }),
  fc.record({
    state: fc.constant("RUNNING" as const),
    dispatch,
    percent: fc.nat(100),
    progress: fc.record({ message: text, at: moment }),
  }),
  fc.record({ state: fc.constantFrom(...TERMINAL_STATES), outcome }),
);
const verdict = {
  ruleId: text,
  ruleHash: hash,
  reason: text,
  snapshot: text,
  remediations: fc.constantFrom(
    [],
    [
      {
        id: "a",
        title: "",
        summary: "",
        replacementTopic: "",
        replacementCapability: "",
        addLabels: { x: "y" },
        removeLabels: ["z"],
      },
    ],
  ),
};
const decision = fc.oneof(
  fc.record({ ...verdict, kind: fc.constantFrom("allow" as const, "deny" as const, "require_approval" as const) }),
  fc.record({ ...verdict, kind: fc.constant("throttle" as const), retryAfterMs: fc.nat() }),
  fc.record({
    ...verdict,
    kind: fc.constant("allow_with_constraints" as const),
    constraints: fc.constant({ budgets: { maxRetries: 2 } }),
  }),
);
const answer = fc.record({
  answer: fc.constantFrom("approved" as const, "rejected" as const),
  by: text,
  role: text,
  at: moment,
  reason: text,
  note: text,
  jobHash: hash,
  ruleHash: hash,
  snapshot: text,
});
const stop: fc.Arbitrary<StopOrder> = fc.record({
  dispatch: fc.record({ id: text, workerId: text, direct: fc.boolean() }),
  since: moment,
  answer: fc.oneof(
    fc.constant({ kind: "awaited" as const }),
    fc.record({ kind: fc.constant("unknown" as const), at: moment }),
    fc.record({ kind: fc.constant("acknowledged" as const), at: moment, workerId: text, reported: text }),
  ),
});
const stray = fc.record({
  at: moment,
  why: fc.constantFrom("ended" as const, "not_out" as const),
  workerId: text,
  via: text,
  dispatchId: text,
  reported: text,
  code: text,
});
const job: fc.Arbitrary<Job> = fc.record(
  {
    shape: fc.constant(1 as const),
    id: text,
    tenant: text,
    topic: text,
    traceId: text,
    team: text,
    principal: text,
    priority: fc.constantFrom("critical" as const, "interactive" as const, "batch" as const),
    request: fc.base64String({ maxLength: 40 }),
    hash,
    bodyHash: hash,
    acceptedAt: moment,
    updatedAt: moment,
    listedAt: moment,
    notBefore: moment,
    attempts: fc.nat(5),
    attemptsMax: fc.integer({ min: 1, max: 5 }),
    phase,
    wakes: fc.record({ deadline: moment, decide: moment, upkeep: moment, worker: moment }, { requiredKeys: [] }),
    steps: fc.array(fc.record({ at: moment, state: fc.constantFrom(...OPEN_STATES, ...TERMINAL_STATES), why: text }), {
      maxLength: 5,
    }),
    decisions: fc.array(fc.record({ at: moment, jobHash: hash, decision }), { maxLength: 3 }),
    approval: answer,
    stop,
    strays: fc.array(stray, { minLength: 1, maxLength: 3 }),
  },
  {
    requiredKeys: [
      "shape",
      "id",
      "tenant",
      "topic",
      "traceId",
      "team",
      "principal",
      "priority",
      "request",
      "hash",
      "bodyHash",
      "acceptedAt",
      "updatedAt",
      "listedAt",
      "attempts",
      "attemptsMax",
      "phase",
      "wakes",
      "steps",
      "decisions",
    ],
  },
);

describe("the stored form of a job", () => {
  it("reads back as the same job, through JSON text", () => {
    fc.assert(
      fc.property(job, (before) => {
        expect(parseJob(JSON.parse(JSON.stringify(writeJob(before))))).toEqual(before);
      }),
      { numRuns: 500 },
    );
  });

  it.each([null, 5, [], {}, { v: 2 }, { shape: 1 }] as const)(
    "refuses %j: a newer process wrote it, or nobody of ours",
    (value: Json) => {
      expect(() => parseJob(value)).toThrow(/shape/);
    },
  );
});
