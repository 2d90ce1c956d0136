import { describe, expect, it } from "vitest";
import { describeLog } from "./explain.ts";

describe("what happened to a job", () => {
  it("says how a stop ended, and what was reported when nobody waited for it", () => {
    const items = [
      { at: 1, kind: "stop", by: "w1", outcome: "acknowledged", reported: "JOB_STATUS_CANCELLED" },
      { at: 2, kind: "stray_result", by: "w2", why: "late", reported: "JOB_STATUS_SUCCEEDED" },
    ];
    const [, stop, stray] = describeLog({ id: "j1", complete: true, items }).split("\n");
    expect(stop).toMatch(/ stop: acknowledged +- +w1$/);
    expect(stray).toMatch(/ stray_result: JOB_STATUS_SUCCEEDED +late +w2$/);
  });
});
