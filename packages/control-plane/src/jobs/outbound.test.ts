import { describe, expect, it } from "vitest";
import { Outbound } from "./outbound.ts";

describe("Outbound", () => {
  const heard = (outbound: Outbound, jobId: string, at: number, dispatchId = `${jobId}-1`): void => {
    outbound.noteSending(jobId, dispatchId);
    outbound.noteHeard(jobId, dispatchId, at);
  };

  it("tells what has been unanswered for long, oldest first, and keeps it until it is vouched for", () => {
    const outbound = new Outbound();
    heard(outbound, "a", 0);
    heard(outbound, "b", 1_000);
    heard(outbound, "c", 2_500);
    expect(outbound.unanswered(4_000, 3_000, 10).map(({ jobId }) => jobId)).toEqual(["a", "b"]);
    expect(outbound.unanswered(4_000, 3_000, 1).map(({ jobId }) => jobId)).toEqual(["a"]);
    expect(outbound.vouchesFor("a", "a-1")).toBe(true);
    outbound.noteVouched({ jobId: "a", dispatchId: "a-1" });
    expect(outbound.unanswered(4_000, 3_000, 10).map(({ jobId }) => jobId)).toEqual(["b"]);
    expect(outbound.vouchesFor("a", "a-1")).toBe(false);
  });

  it("does not let a job that went out again hold up those behind it", () => {
    const outbound = new Outbound();
    heard(outbound, "a", 0);
    heard(outbound, "b", 1_000);
    heard(outbound, "a", 3_000, "a-2");
    expect(outbound.unanswered(4_000, 3_000, 10)).toEqual([{ jobId: "b", dispatchId: "b-1" }]);
    outbound.noteVouched({ jobId: "a", dispatchId: "a-1" });
    expect(outbound.vouchesFor("a", "a-2")).toBe(true);
  });

  it("V1: knows nothing of a job whose answer overtook the word that it was heard", () => {
    const outbound = new Outbound();
    outbound.noteSending("a", "a-1");
    outbound.forget("a");
    outbound.noteHeard("a", "a-1", 0);
    expect(outbound.size).toBe(0);
    heard(outbound, "b", 0);
    outbound.forget("b");
    expect(outbound.size).toBe(0);
  });

  it("V2: does not vouch for what could not be sent", () => {
    const outbound = new Outbound();
    outbound.noteSending("a", "a-1");
    outbound.noteNotHeard("a", "a-1");
    outbound.noteHeard("a", "a-1", 0);
    expect(outbound.vouchesFor("a", "a-1")).toBe(false);
  });
});
