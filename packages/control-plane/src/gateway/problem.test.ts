import { describe, expect, it } from "vitest";
import { FAULTS, Fault, type FaultCode } from "../ports/fault.ts";
import { problemsPage, toProblem } from "./problem.ts";

const ABOUT = { instance: "/api/v1/jobs", traceId: "t1" };
const CODES = Object.keys(FAULTS).filter((code): code is FaultCode => Object.hasOwn(FAULTS, code));

describe("problems", () => {
  it.each(CODES)("renders %s", (code) => {
    const problem = toProblem(new Fault(code, "what happened", { fields: [{ field: "f", reason: "r" }] }), ABOUT);
    expect(problem).toMatchObject({
      code,
      status: FAULTS[code].status,
      detail: "what happened",
      instance: "/api/v1/jobs",
      traceId: "t1",
    });
    expect(problem.errors).toEqual([{ field: "f", reason: "r" }]);
    expect(problem.retryable).toBe(FAULTS[code].retry !== "never");
    expect(problem.error).not.toBe("");
  });

  it("shows nothing of an unknown error", () => {
    for (const thrown of [
      new Error("redis://:hunter2@10.0.0.1 down", { cause: "hunter2" }),
      "hunter2",
      undefined,
      { code: "JOB_NOT_FOUND", message: "hunter2" },
    ]) {
      const problem = toProblem(thrown, ABOUT);
      expect(problem).toMatchObject({ code: "INTERNAL", status: 500, error: "internal error" });
      expect(JSON.stringify(problem)).not.toContain("hunter2");
    }
  });

  it("bounds what a hostile input can make it say", () => {
    const fields = Array.from({ length: 10_000 }, () => ({ field: "x".repeat(5_000), reason: "y".repeat(5_000) }));
    expect(
      JSON.stringify(toProblem(new Fault("INVALID_REQUEST", "z".repeat(1_000_000), { fields }), ABOUT)).length,
    ).toBeLessThan(200_000);
  });

  it("is documented as it is", async () => {
    await expect(problemsPage()).toMatchFileSnapshot("../../../../docs/reference/problems.md");
  });
});
