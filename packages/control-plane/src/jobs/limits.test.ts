import { type JobRequest, JobStatus } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import type { Batch, State } from "../ports/state.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { withCommit } from "../testing/scene-ports.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { cancelJob } from "./cancel.ts";
import { JOB_INDEX } from "./job-indexes.ts";

const POLICY = `
version: v1
rules:
  - id: few
    match: { topics: ["job.few"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_concurrent_jobs: 2 } }
tenants:
  narrow: { max_concurrent_jobs: 1 }
`;

/** A worker that holds jobs until it is told to end one. */
async function holdingWorker(scene: JobScene) {
  const held: JobRequest[] = [];
  let most = 0;
  const worker = await addWorker(scene, {
    topics: ["job.few", "job.echo"],
    capacity: 10,
    answer(request) {
      held.push(request);
      most = Math.max(most, held.length);
      return undefined;
    },
  });
  const endOne = async (): Promise<void> => {
    const request = held.shift();
    if (request !== undefined) await worker.result({ jobId: request.jobId, status: JobStatus.SUCCEEDED });
    await scene.quiet();
  };
  return { worker, held, endOne, most: () => most };
}

describe("limits on jobs at once", () => {
  it.each([
    ["rule", 2, { topic: "job.few" }, "rule_limit"],
    ["tenant", 1, { tenant: "narrow" }, "tenant_limit"],
  ])(
    "hold back what is beyond the limit of a %s, and every end lets the next one go at once",
    async (_what, max, over, waiting) => {
      await using scene = await openJobScene({ policy: POLICY });
      const { held, endOne, most } = await holdingWorker(scene);
      const submitted = await Promise.all(Array.from({ length: 6 }, () => scene.submit(over)));
      await scene.quiet();
      expect(held).toHaveLength(max);
      const states = submitted.map(({ state }) => state);
      expect(states.filter((state) => state === "DISPATCHED")).toHaveLength(max);
      const late = submitted.find(({ state }) => state === "SCHEDULED");
      expect((await scene.load(late?.jobId ?? "")).phase).toMatchObject({ waiting });
      for (let ended = 0; ended < 6; ended++) await endOne();
      for (const { jobId } of submitted) expect((await scene.load(jobId)).phase.state).toBe("SUCCEEDED");
      expect(most()).toBe(max);
    },
  );

  it("holds among several processes", async () => {
    await using scene = await openJobScene({ policy: POLICY });
    await scene.addCore();
    await scene.addCore();
    const { held, endOne, most } = await holdingWorker(scene);
    await Promise.all(Array.from({ length: 10 }, () => scene.submit({ topic: "job.few" })));
    while (held.length > 0) await endOne();
    await scene.pass(60_000);
    while (held.length > 0) await endOne();
    expect(most()).toBe(2);
  });

  it("gives slots back that a crash left behind", async () => {
    await using scene = await openJobScene({ policy: POLICY });
    const { held } = await holdingWorker(scene);
    const { slots } = scene.parts;
    const { jobId } = await scene.submit({ topic: "job.few" });
    const [limitId = ""] = await limitsOf(scene, jobId);
    await slots.take({ id: limitId, max: 2, waiting: "rule_limit" }, { jobId: "gone", dispatchId: "gone" }, NEVER);
    const second = await scene.submit({ topic: "job.few" });
    expect(second.state).toBe("SCHEDULED");
    await scene.pass(120_000);
    expect(held.map((request) => request.jobId)).toEqual([jobId, second.jobId]);
    expect(await slots.countOf(limitId, NEVER)).toBe(2);
  });

  it("keeps the slot of a dispatch of which nobody knows whether it was committed", async () => {
    let lost = 0;
    await using scene = await openJobScene({
      policy: POLICY,
      state: (real) => losingFirstDispatch(real, () => lost++),
    });
    const { held } = await holdingWorker(scene);
    await expect(scene.submit({ topic: "job.few" })).rejects.toMatchObject({ code: "STATE_OUTCOME_UNKNOWN" });
    const others = [await scene.submit({ topic: "job.few" }), await scene.submit({ topic: "job.few" })];
    expect(lost).toBe(1);
    expect(others.map(({ state }) => state)).toEqual(["DISPATCHED", "SCHEDULED"]);
    await scene.pass(10_000);
    expect(held).toHaveLength(2);
  });

  it("gives a worker's slot back although the answer to the commit that ended its job was lost", async () => {
    let isArmed = true;
    await using scene = await openJobScene({
      state: (real) =>
        withCommit(real, async (batch, signal) => {
          const outcome = await real.commit(batch, signal);
          const ends = batch.changes.some(
            (change) => change.do === "leave" && change.index.index === JOB_INDEX.busyOfWorker,
          );
          if (!ends || !isArmed) return outcome;
          isArmed = false;
          throw new Fault("STATE_OUTCOME_UNKNOWN", "the answer was lost");
        }),
    });
    const worker = await addWorker(scene, { capacity: 1 });
    const first = await scene.submit();
    const second = await scene.submit();
    await worker.result({ jobId: first.jobId, status: JobStatus.SUCCEEDED });
    await scene.pass(5_000); // the result comes again, and finds the job ended
    expect(isArmed).toBe(false);
    expect((await scene.load(first.jobId)).phase.state).toBe("SUCCEEDED");
    expect((await scene.load(second.jobId)).phase.state).toBe("DISPATCHED");
  });

  it("counts neither cancelled jobs nor attempts that are over", async () => {
    await using scene = await openJobScene({ policy: POLICY });
    await holdingWorker(scene);
    const { jobId } = await scene.submit({ topic: "job.few" });
    const [limitId = ""] = await limitsOf(scene, jobId);
    await cancelJob(jobId, { tenant: "acme", by: "ada", reason: "" }, scene.parts, NEVER);
    await scene.quiet();
    expect(await scene.parts.slots.countOf(limitId, NEVER)).toBe(0);
  });
});

async function limitsOf(scene: JobScene, jobId: string): Promise<readonly string[]> {
  const { phase } = await scene.load(jobId);
  return "dispatch" in phase ? phase.dispatch.limits : [];
}

/** The first commit that puts a job out is done, and its answer is lost. */
function losingFirstDispatch(real: State, onLost: () => void): State {
  let isArmed = true;
  return new Proxy(real, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (name !== "commit") return typeof member === "function" ? member.bind(target) : member;
      return async (batch: Batch, signal: AbortSignal) => {
        const outcome = await target.commit(batch, signal);
        const putsOut = batch.changes.some(
          (change) => change.do === "enter" && change.index.index === JOB_INDEX.busyOfWorker,
        );
        if (!putsOut || !isArmed) return outcome;
        isArmed = false;
        onLost();
        throw new Fault("STATE_OUTCOME_UNKNOWN", "the answer was lost");
      };
    },
  });
}
