import { describe, expect, it } from "vitest";
import { systemRuntime } from "../runtime.ts";
import { describeError, lineLog, withFields } from "./log.ts";

describe("log", () => {
  it("writes one object per line from its level upwards, with bound fields and causes, without stacks", () => {
    const lines: string[] = [];
    const log = withFields(
      lineLog({ ...systemRuntime, now: () => 0 }, "warn", (line) => lines.push(line)),
      { workerId: "w1" },
    );
    log.info("job.ended", { jobId: "j1" });
    log.warn("job.ignored", { reason: "stale\nattempt" });
    log.error("packet.lost", new Error("outer", { cause: new Error("inner") }));
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        time: "1970-01-01T00:00:00.000Z",
        level: "warn",
        event: "job.ignored",
        reason: "stale\nattempt",
        workerId: "w1",
      },
      { time: "1970-01-01T00:00:00.000Z", level: "error", event: "packet.lost", workerId: "w1", error: "outer: inner" },
    ]);
    expect(lines.every((line) => !line.includes("\n"))).toBe(true);
  });

  it("describes whatever was thrown, circles of causes included", () => {
    const circle = new Error("a");
    circle.cause = circle;
    expect(describeError(circle)).toBe("a: a: a: a: a");
    expect(describeError(null)).toBe("null");
    const hostile = {
      toString: () => {
        throw new Error("no");
      },
    };
    expect(describeError(hostile)).toBe("something that has no text was thrown");
  });
});
