import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Decision, DecisionRecord } from "../policy/decision.ts";
import { isTerminal, type Job, STRAYS_MAX, type StrayResult } from "./job.ts";
import type { JobEvent, Report } from "./job-event.ts";
import { isDeadLetter } from "./job-moves.ts";
import { DEFAULT_JOB_SETTINGS as LIMITS } from "./job-parts.ts";
import { acceptsReport, transition } from "./transition.ts";

const NOW = 1_800_000_000_000;
const JOB: Job = {
  shape: 1,
  id: "j1",
  tenant: "acme",
  topic: "job.echo",
  traceId: "t1",
  team: "",
  principal: "ada",
  priority: "interactive",
  request: "",
  hash: "h1",
  bodyHash: "",
  acceptedAt: NOW,
  updatedAt: NOW,
  listedAt: NOW,
  attempts: 0,
  attemptsMax: 1,
  phase: { state: "PENDING", waiting: "placing" },
  wakes: { decide: NOW, upkeep: NOW + LIMITS.upkeepMs },
  steps: [],
  decisions: [],
};
const VERDICT = { ruleId: "r1", ruleHash: "rh1", reason: "because", snapshot: "s1", remediations: [] };
const decided = (decision: Decision): JobEvent => ({ kind: "decided", decided: record(decision) });
const record = (decision: Decision): DecisionRecord => ({ at: NOW, jobHash: "h1", decision });
const dispatch = {
  id: "d1",
  workerId: "w1",
  instance: "i1",
  pool: "p",
  subject: "worker.w1.jobs",
  direct: true,
  at: NOW,
  limits: [],
  heard: false,
};
const SAID = { message: "", at: NOW };
const placed: JobEvent & { kind: "placed" } = { kind: "placed", dispatch, timeoutMs: 1_000, attemptsMax: 1 };
const report = (over: Partial<Report> = {}): Report => ({
  ends: "SUCCEEDED",
  reported: "JOB_STATUS_SUCCEEDED",
  code: "",
  message: "",
  resultPtr: "redis://res:j1",
  workerId: "w1",
  executionMs: 5,
  artifactPtrs: [],
  dispatchId: "",
  ...over,
});
const reported = (over: Partial<Report> = {}): JobEvent => ({
  kind: "reported",
  report: report(over),
  retryAfterMs: 100,
});
const stray = (workerId: string): StrayResult => ({
  at: NOW,
  why: "not_assigned",
  workerId,
  via: "",
  dispatchId: "",
  reported: "JOB_STATUS_SUCCEEDED",
  code: "",
});
/** All but what is noted beside it. */
const courseOf = ({ wakes: _, stop, strays: __, ...course }: Job) => ({ ...course, stop: stop?.dispatch });
const answer = (over: Partial<NonNullable<Job["approval"]>> = {}) => ({
  answer: "approved" as const,
  by: "bob",
  role: "approver",
  at: NOW,
  reason: "",
  note: "",
  jobHash: "h1",
  ruleHash: "rh1",
  snapshot: "s1",
  ...over,
});

/** Applies events one after the other at one moment. */
function live(job: Job, ...events: readonly JobEvent[]): Job {
  return events.reduce((before, event) => transition(before, event, NOW, LIMITS).next, job);
}
const ALLOWED = decided({ ...VERDICT, kind: "allow" });

describe("decisions", () => {
  it("lead each to its state", () => {
    expect(live(JOB, ALLOWED).phase.state).toBe("SCHEDULED");
    expect(live(JOB, decided({ ...VERDICT, kind: "allow_with_constraints", constraints: {} })).phase.state).toBe(
      "SCHEDULED",
    );
    expect(live(JOB, decided({ ...VERDICT, kind: "throttle", retryAfterMs: 5_000 }))).toMatchObject({
      phase: { state: "PENDING", waiting: "throttled" },
      wakes: { decide: NOW + 5_000 },
    });
    expect(live(JOB, decided({ ...VERDICT, kind: "deny" })).phase).toMatchObject({
      state: "DENIED",
      outcome: { code: "safety_denied", message: "because", by: "policy" },
    });
    expect(live(JOB, decided({ ...VERDICT, kind: "require_approval" })).phase).toMatchObject({
      state: "APPROVAL_REQUIRED",
      ask: { ruleId: "r1", ruleHash: "rh1", jobHash: "h1" },
    });
  });

  it("do not reach a job that is out with a worker", () => {
    const out = live(JOB, ALLOWED, placed);
    expect(transition(out, decided({ ...VERDICT, kind: "deny" }), NOW, LIMITS).next).toBe(out);
  });

  it("ask again under another rule, and pass under the rule that a person said yes to", () => {
    const asked = live(JOB, decided({ ...VERDICT, kind: "require_approval" }));
    const approved = live(asked, { kind: "approved", answer: answer() });
    expect(approved.phase.state).toBe("SCHEDULED");
    expect(live(approved, decided({ ...VERDICT, kind: "require_approval", snapshot: "s2" })).phase.state).toBe(
      "SCHEDULED",
    );
    expect(live(approved, decided({ ...VERDICT, kind: "require_approval", ruleHash: "other" })).phase.state).toBe(
      "APPROVAL_REQUIRED",
    );
  });

  it("keep the newest twenty, and a repeated answer once", () => {
    const throttled = (snapshot: string) => decided({ ...VERDICT, snapshot, kind: "throttle", retryAfterMs: 1 });
    const repeated = live(JOB, ...Array.from({ length: 70 }, () => throttled("s1")));
    expect([repeated.decisions.length, repeated.steps.length]).toEqual([1, 1]);
    const changing = live(JOB, ...Array.from({ length: 70 }, (_, at) => throttled(`s${at}`)));
    expect(changing.decisions).toHaveLength(20);
    const back = live(JOB, ...Array.from({ length: 70 }, (_, at) => (at % 2 === 0 ? ALLOWED : throttled("s1"))));
    expect(back.steps).toHaveLength(50);
  });
});

describe("placing", () => {
  it("is possible from SCHEDULED alone", () => {
    expect(live(JOB, placed).phase.state).toBe("PENDING");
    expect(live(JOB, decided({ ...VERDICT, kind: "require_approval" }), placed).phase.state).toBe("APPROVAL_REQUIRED");
    const moved = transition(live(JOB, ALLOWED), placed, NOW, LIMITS);
    expect(moved.next).toMatchObject({
      attempts: 1,
      phase: { state: "DISPATCHED" },
      wakes: { doorbell: NOW + LIMITS.doorbellMs, timeout: NOW + 1_000 },
    });
    expect(moved.effects).toEqual([{ kind: "deliver", dispatch }]);
  });

  it("gives the attempt back only when certainly nobody heard", () => {
    const out = live(JOB, ALLOWED, placed);
    const missed = {
      kind: "undelivered",
      dispatchId: "d1",
      retryAfterMs: 0,
      doorbell: NOW + LIMITS.doorbellMs,
    } as const;
    expect(live(out, { ...missed, maybeBefore: false })).toMatchObject({ attempts: 0, phase: { state: "SCHEDULED" } });
    const rung = transition(out, { kind: "rung_again", dispatchId: "d1" }, NOW + LIMITS.doorbellMs, LIMITS).next;
    expect(rung).toMatchObject({ attempts: 1, wakes: { doorbell: NOW + 2 * LIMITS.doorbellMs } });
    expect(live(rung, { ...missed, maybeBefore: false })).toMatchObject({ phase: { state: "TIMEOUT" } });
    expect(live(out, { ...missed, maybeBefore: true })).toMatchObject({
      attempts: 1,
      phase: { state: "TIMEOUT", outcome: { code: "worker_lost" } },
    });
    expect(live(out, { ...missed, dispatchId: "old", maybeBefore: false })).toBe(out);
  });

  it("keeps the end of the wait while the reason changes, without a step each time", () => {
    const waiting = live(JOB, ALLOWED, { kind: "unplaced", waiting: "no_workers", pools: ["a"] });
    const end = waiting.wakes.waited_too_long;
    const later = transition(
      waiting,
      { kind: "unplaced", waiting: "pool_overloaded", pools: ["a"] },
      NOW + 5,
      LIMITS,
    ).next;
    expect(later.wakes.waited_too_long).toBe(end);
    expect(later.steps).toHaveLength(waiting.steps.length);
    const gone = transition(later, { kind: "woke" }, NOW + LIMITS.backlogMaxMs, LIMITS).next;
    expect(gone.phase).toMatchObject({ state: "FAILED", outcome: { code: "pool_overloaded" } });
  });
});

describe("reports", () => {
  it("end a job that is out, and only by its own worker and dispatch", () => {
    const out = live(JOB, ALLOWED, placed);
    expect(live(out, reported()).phase).toMatchObject({
      state: "SUCCEEDED",
      outcome: { resultPtr: "redis://res:j1", workerId: "w1", by: "worker" },
    });
    expect(live(out, reported({ workerId: "w2" }))).toBe(out);
    expect(live(out, reported({ dispatchId: "old" }))).toBe(out);
    expect(live(out, reported({ workerId: "" })).phase.state).toBe("SUCCEEDED");
  });

  it("of anybody in the group end a job that was sent to its topic", () => {
    const out = live(JOB, ALLOWED, { ...placed, dispatch: { ...dispatch, direct: false, subject: "job.echo" } });
    expect(live(out, reported({ workerId: "w2" })).phase.state).toBe("SUCCEEDED");
  });

  it("never end a job that was not dispatched", () => {
    for (const job of [JOB, live(JOB, ALLOWED), live(JOB, decided({ ...VERDICT, kind: "require_approval" }))]) {
      expect(live(job, reported())).toBe(job);
      expect(acceptsReport(job, report())).toBe(false);
    }
  });

  it("lead to another attempt while one is left", () => {
    const out = live(JOB, ALLOWED, { ...placed, attemptsMax: 2 });
    const again = live(out, reported({ ends: "retry", code: "E" }));
    expect(again).toMatchObject({
      attempts: 1,
      phase: { state: "SCHEDULED", waiting: "retry_backoff" },
      wakes: { place: NOW + 100 },
    });
    const second = live(again, { ...placed, attemptsMax: 2, dispatch: { ...dispatch, id: "d2" } });
    expect(live(second, reported({ ends: "retry", code: "E" })).phase).toMatchObject({
      state: "FAILED",
      outcome: { code: "E" },
    });
  });

  it("give a job back that was not begun, without the loss of an attempt", () => {
    const out = live(JOB, ALLOWED, placed);
    const back = live(out, reported({ ends: "returned", code: "WORKER_DRAINED" }));
    expect(back).toMatchObject({ attempts: 0, phase: { state: "SCHEDULED" }, wakes: { place: NOW + 100 } });
  });

  it("are not waited for from a worker that is gone or was started anew", () => {
    const out = live(JOB, ALLOWED, placed);
    const lost = (instanceNow: string | undefined): JobEvent => ({
      kind: "worker_lost",
      workerId: "w1",
      instanceNow,
      retryAfterMs: 100,
    });
    expect(live(out, lost("i1"))).toBe(out);
    expect(live(out, lost("i2")).phase).toMatchObject({ state: "TIMEOUT", outcome: { code: "worker_lost" } });
    expect(live(live(JOB, ALLOWED, { ...placed, attemptsMax: 2 }), lost(undefined))).toMatchObject({
      phase: { state: "SCHEDULED" },
    });
    const onTopic = live(JOB, ALLOWED, { ...placed, dispatch: { ...dispatch, direct: false } });
    expect(live(onTopic, lost(undefined))).toBe(onTopic);
    const claimed = live(onTopic, {
      kind: "progressed",
      workerId: "w2",
      instance: null,
      dispatchId: "d1",
      percent: 0,
      ...SAID,
    });
    expect(
      live(claimed, { kind: "worker_lost", workerId: "w2", instanceNow: undefined, retryAfterMs: 0 }).phase.state,
    ).toBe("TIMEOUT");
  });

  it("mark progress and the worker that claims", () => {
    const out = live(JOB, ALLOWED, placed);
    const claimed = live(out, {
      kind: "progressed",
      workerId: "w1",
      instance: null,
      dispatchId: "d1",
      percent: 0,
      ...SAID,
    });
    expect(claimed).toMatchObject({ phase: { state: "RUNNING", dispatch: { heard: true } } });
    expect(claimed.wakes.doorbell).toBeUndefined();
    expect(
      live(claimed, { kind: "progressed", workerId: "w1", instance: null, dispatchId: "", percent: 40, ...SAID }).phase,
    ).toMatchObject({
      percent: 40,
    });
    expect(
      live(claimed, { kind: "progressed", workerId: "w1", instance: null, dispatchId: "", percent: 0, ...SAID }),
    ).toBe(claimed);
  });
});

describe("ends", () => {
  it("tell the worker of a cancelled job, and count as dead letters unless a person cancelled", () => {
    const out = live(JOB, ALLOWED, placed);
    const cancelled = transition(out, { kind: "cancelled", by: "ada", reason: "stop" }, NOW, LIMITS);
    expect(cancelled.effects.map((effect) => effect.kind)).toEqual(["stop_worker", "announce_end"]);
    expect(isDeadLetter(cancelled.next)).toBe(false);
    expect(isDeadLetter(live(out, reported({ ends: "CANCELLED" })))).toBe(true);
    expect(isDeadLetter(live(out, reported()))).toBe(false);
  });

  it("come by the clock: deadline, timeout, approval", () => {
    const later = (job: Job, ms: number) => transition(job, { kind: "woke" }, NOW + ms, LIMITS).next.phase;
    expect(later({ ...JOB, wakes: { deadline: NOW + 10 } }, 10)).toMatchObject({
      state: "TIMEOUT",
      outcome: { code: "deadline_exceeded" },
    });
    expect(later(live(JOB, ALLOWED, placed), 1_000)).toMatchObject({
      state: "TIMEOUT",
      outcome: { code: "running_timeout" },
    });
    expect(later(live(JOB, decided({ ...VERDICT, kind: "require_approval" })), LIMITS.approvalTtlMs)).toMatchObject({
      state: "TIMEOUT",
      outcome: { code: "approval_expired" },
    });
  });

  it("list a job anew that has been open for days", () => {
    const asked = live(JOB, decided({ ...VERDICT, kind: "require_approval" }));
    const day = transition(asked, { kind: "woke" }, NOW + LIMITS.upkeepMs, LIMITS).next;
    expect(day).toMatchObject({ listedAt: NOW, wakes: { upkeep: NOW + 2 * LIMITS.upkeepMs } });
    const late = NOW + LIMITS.relistMs + LIMITS.upkeepMs;
    expect(transition(day, { kind: "woke" }, late, LIMITS).next).toMatchObject({ listedAt: late, updatedAt: late });
  });
});

describe("any sequence of events", () => {
  const verdict = fc.record({
    ruleId: fc.constant("r1"),
    ruleHash: fc.constantFrom("rh1", "rh2"),
    reason: fc.constant(""),
    snapshot: fc.constantFrom("s1", "s2"),
    remediations: fc.constant([]),
  });
  const decisions: fc.Arbitrary<Decision> = verdict.chain((about) =>
    fc.constantFrom<Decision>(
      { ...about, kind: "allow" },
      { ...about, kind: "deny" },
      { ...about, kind: "require_approval" },
      { ...about, kind: "throttle", retryAfterMs: 100 },
      { ...about, kind: "allow_with_constraints", constraints: {} },
    ),
  );
  const workerId = fc.constantFrom("w1", "w2", "");
  const dispatchId = fc.constantFrom("d1", "d2", "");
  const events: fc.Arbitrary<JobEvent> = fc.oneof(
    decisions.map(decided),
    fc.record({ kind: fc.constant("policy_unavailable" as const), retryAfterMs: fc.nat(1_000) }),
    fc.record({
      kind: fc.constant("placed" as const),
      dispatch: dispatchId.map((id) => ({ ...dispatch, id })),
      timeoutMs: fc.nat(5_000),
      attemptsMax: fc.integer({ min: 1, max: 3 }),
    }),
    fc.record({
      kind: fc.constant("unplaced" as const),
      waiting: fc.constantFrom("no_workers" as const, "pool_overloaded" as const),
      pools: fc.constant(["a"]),
    }),
    fc.record({
      kind: fc.constant("undelivered" as const),
      dispatchId,
      maybeBefore: fc.boolean(),
      doorbell: fc.constantFrom(undefined, NOW + LIMITS.doorbellMs),
      retryAfterMs: fc.nat(100),
    }),
    fc.record({ kind: fc.constant("rung_again" as const), dispatchId }),
    fc.record({ kind: fc.constant("heard" as const), dispatchId }),
    fc.record({
      kind: fc.constant("progressed" as const),
      workerId,
      instance: fc.constant(null),
      dispatchId,
      percent: fc.nat(100),
      message: fc.constantFrom("", "half way"),
      at: fc.constant(NOW),
    }),
    fc
      .record({
        ends: fc.constantFrom("SUCCEEDED" as const, "FAILED" as const, "retry" as const, "CANCELLED" as const),
        workerId,
        dispatchId,
      })
      .map(reported),
    fc.record({
      kind: fc.constant("worker_lost" as const),
      workerId,
      instanceNow: fc.constantFrom("i1", "i2", undefined),
      retryAfterMs: fc.nat(100),
    }),
    fc.record({ kind: fc.constant("worker_alive" as const), workerId }),
    fc.constantFrom<JobEvent>(
      { kind: "approved", answer: answer() },
      { kind: "rejected", answer: answer({ answer: "rejected" }) },
      { kind: "woke" },
      { kind: "stop_unsent" },
      { kind: "stop_answered", workerId: "w1", reported: "JOB_STATUS_CANCELLED" },
      { kind: "strayed", stray: stray("w2") },
    ),
    fc.constant<JobEvent>({ kind: "unroutable", code: "no_pool_mapping", message: "" }),
    fc.constant<JobEvent>({ kind: "refused", code: "schema_validation_failed", message: "" }),
  );
  const moments = fc.array(fc.tuple(events, fc.nat(3_000)), { maxLength: 40 });

  it("keeps J1, J2, T3 and the counts", () => {
    fc.assert(
      fc.property(moments, (steps) => {
        let job = JOB;
        let now = NOW;
        for (const [event, ms] of steps) {
          now += ms;
          const { next, effects } = transition(job, event, now, LIMITS);
          if (isTerminal(job)) expect(courseOf(next)).toEqual(courseOf(job));
          expect(next.strays?.length ?? 0).toBeLessThanOrEqual(STRAYS_MAX);
          const wakes = Object.keys(next.wakes);
          expect(wakes.every((wake) => wake === "stop")).toBe(isTerminal(next));
          expect(next.attempts).toBeGreaterThanOrEqual(0);
          expect(next.updatedAt).toBeGreaterThanOrEqual(job.updatedAt);
          if (effects.some((effect) => effect.kind === "deliver")) {
            expect(job.phase.state).toBe("SCHEDULED");
            expect(next.attempts).toBe(job.attempts + 1);
          }
          if (next.phase.state === "SCHEDULED" && job.phase.state !== "SCHEDULED") {
            const last = next.decisions.at(-1)?.decision;
            const isAllowed =
              last?.kind === "allow" ||
              last?.kind === "allow_with_constraints" ||
              (last?.kind === "require_approval" && next.approval?.answer === "approved");
            expect(isAllowed).toBe(true);
          }
          job = next;
        }
      }),
      { numRuns: 500 },
    );
  });

  it("gives the same again", () => {
    fc.assert(
      fc.property(moments, (steps) => {
        const run = () => steps.reduce((job, [event, ms]) => transition(job, event, NOW + ms, LIMITS).next, JOB);
        expect(run()).toEqual(run());
      }),
    );
  });
});
