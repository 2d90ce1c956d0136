import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import { COMMAND, type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { withCommit } from "../testing/scene-ports.ts";
import { JOB_KIND } from "./job-store.ts";
import type { Submitted } from "./submit.ts";
import { BATCH_JOBS_MAX, submitBatch } from "./submit-batch.ts";
import type { SubmitCommand } from "./submit-command.ts";

let scene: JobScene;
let under = { now: 0, most: 0 };
let broken = false;
beforeEach(async () => {
  under = { now: 0, most: 0 };
  broken = false;
  scene = await openJobScene({
    state: (real) =>
      withCommit(real, async (batch, signal) => {
        if (broken) throw new Fault("STATE_UNAVAILABLE", "no");
        under.now++;
        under.most = Math.max(under.most, under.now);
        await Promise.resolve();
        under.now--;
        return real.commit(batch, signal);
      }),
  });
});
afterEach(() => scene.settle());

const submit = (commands: readonly (Partial<SubmitCommand> | Fault)[]) =>
  submitBatch(
    commands.map((command) => (command instanceof Fault ? command : { ...COMMAND, ...command })),
    scene.parts,
    NEVER,
  );
const isSubmitted = (answer: Submitted | Fault): answer is Submitted => !(answer instanceof Fault);
const jobsStored = (): number => scene.state.dump().records.filter(({ stored }) => stored.key.kind === JOB_KIND).length;

describe("a batch of submits", () => {
  it("answers each job by itself, in order", async () => {
    const unread = new Fault("INVALID_REQUEST", "not a job");
    const answers = await submit([{}, { prompt: "" }, unread, { topic: "job.no.x" }, { topic: "job.ask" }]);
    expect(answers.map((answer) => (answer instanceof Fault ? answer.code : answer.state))).toEqual([
      "SCHEDULED",
      "INVALID_REQUEST",
      "INVALID_REQUEST",
      "DENIED",
      "APPROVAL_REQUIRED",
    ]);
    expect(jobsStored()).toBe(3);
  });

  it("has many under way in one turn, and no more than State takes in one call", async () => {
    const answers = await submit(Array.from({ length: BATCH_JOBS_MAX }, (_, n) => ({ prompt: `p${n}` })));
    expect(new Set(answers.filter(isSubmitted).map(({ jobId }) => jobId)).size).toBe(BATCH_JOBS_MAX);
    expect(under.most).toBe(128);
  });

  it("makes one job of one key, within a batch and in the next", async () => {
    const keyed = [{ idempotencyKey: "a" }, { idempotencyKey: "b" }, { idempotencyKey: "a" }];
    const first = (await submit(keyed)).filter(isSubmitted);
    expect(first.map(({ jobId }) => jobId)).toEqual([first[0]?.jobId, first[1]?.jobId, first[0]?.jobId]);
    const again = (await submit(keyed)).filter(isSubmitted);
    expect(again.map(({ jobId, isRepeat }) => [jobId, isRepeat])).toEqual(first.map(({ jobId }) => [jobId, true]));
    const [other] = await submit([{ idempotencyKey: "a", prompt: "another" }]);
    expect(other).toMatchObject({ code: "IDEMPOTENCY_CONFLICT" });
    expect(jobsStored()).toBe(2);
  });

  it("leaves nothing behind that would block a job after a failure", async () => {
    const keyed = Array.from({ length: 5 }, (_, n) => ({ idempotencyKey: `k${n}` }));
    broken = true;
    for (const answer of await submit(keyed)) expect(answer).toMatchObject({ code: "STATE_UNAVAILABLE" });
    broken = false;
    const answers = (await submit(keyed)).filter(isSubmitted);
    expect(answers.map(({ isRepeat }) => isRepeat)).toEqual([false, false, false, false, false]);
  });

  it("says of each job that there was no time for it", async () => {
    const answers = await submitBatch([COMMAND, COMMAND], scene.parts, AbortSignal.abort());
    for (const answer of answers) expect(answer).toBeInstanceOf(Fault);
  });
});
