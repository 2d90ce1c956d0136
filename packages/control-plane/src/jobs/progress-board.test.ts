import { JobStatus } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { openJobScene } from "../testing/job-scene.ts";
import { addWorker } from "../testing/scene-worker.ts";
import { type Claim, ProgressBoard } from "./progress-board.ts";

const NOW = 1_800_000_000_000;
const claim = (over: Partial<Claim> = {}): Claim => ({
  jobId: "j1",
  workerId: "w1",
  dispatchId: "",
  percent: 0,
  message: "",
  at: NOW,
  ...over,
});

describe("the board", () => {
  it("gives out a first word at once, and later ones once a second, the last of them", () => {
    const board = new ProgressBoard();
    board.note(claim());
    expect(board.takeDue(NOW)).toEqual([claim()]);
    for (let percent = 1; percent <= 50; percent++) board.note(claim({ percent }));
    expect(board.takeDue(NOW + 999)).toEqual([]);
    expect(board.takeDue(NOW + 1_000)).toEqual([claim({ percent: 50 })]);
    expect(board.takeDue(NOW + 5_000)).toEqual([]);
  });

  it("keeps jobs and those who speak of them apart", () => {
    const board = new ProgressBoard();
    board.note(claim());
    board.takeDue(NOW);
    board.note(claim({ percent: 10 }));
    board.note(claim({ jobId: "j2" }));
    board.note(claim({ jobId: "j2", workerId: "mallory", percent: 99 }));
    expect(board.takeDue(NOW + 200).map(({ jobId, workerId }) => `${jobId} ${workerId}`)).toEqual([
      "j2 w1",
      "j2 mallory",
    ]);
  });

  it("keeps a message over words without one, and forgets a job that has ended", () => {
    const board = new ProgressBoard();
    board.note(claim({ message: "reading" }));
    board.note(claim({ percent: 20 }));
    expect(board.takeDue(NOW)).toEqual([claim({ percent: 20, message: "reading" })]);
    board.note(claim({ percent: 30 }));
    board.forget("j1");
    expect(board.takeDue(NOW + 5_000)).toEqual([]);
    board.note(claim({ dispatchId: "d1" }));
    expect(board.takeDue(NOW + 5_000)).toHaveLength(1);
    board.note(claim({ dispatchId: "d2" }));
    expect(board.takeDue(NOW + 5_001)).toHaveLength(1);
  });

  it("is bounded", () => {
    const board = new ProgressBoard();
    for (let nth = 0; nth < 10; nth++) board.note(claim({ workerId: `w${nth}` }));
    expect(board.takeDue(NOW)).toHaveLength(4);
    for (let nth = 0; nth < 50_100; nth++) board.note(claim({ jobId: `many${nth}` }));
    expect(board.takeDue(NOW + 2_000)).toHaveLength(50_000);
  });
});

it("a worker that speaks without end costs its job one write a second", async () => {
  await using scene = await openJobScene();
  const worker = await addWorker(scene);
  const { jobId } = await scene.submit();
  const before = scene.committed.length;
  for (let nth = 1; nth <= 100; nth++) {
    await worker.progress(jobId, nth);
    await scene.pass(50);
  }
  await scene.pass(1_200);
  expect((await scene.load(jobId)).phase).toMatchObject({ state: "RUNNING", percent: 100 });
  expect(scene.committed.length - before).toBeLessThanOrEqual(7);
  await worker.result({ jobId, status: JobStatus.SUCCEEDED });
  await scene.until(jobId, "SUCCEEDED");
});
