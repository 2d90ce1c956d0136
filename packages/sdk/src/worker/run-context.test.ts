import { expect, it } from "vitest";
import { ManualRuntime } from "../testing/manual-runtime.ts";
import { lineLog } from "./log.ts";
import { RunContext } from "./run-context.ts";

it("has everything in a copy too, and asks for a signal only when somebody looks", () => {
  const lines: string[] = [];
  const told: unknown[] = [];
  let asked = 0;
  const { signal } = new AbortController();
  const context = new RunContext(
    {
      offer: {
        ...{ jobId: "j1", topic: "job.test", traceId: "t1", tenant: "acme", contextPtr: "", env: {}, labels: {} },
        ...{ attempt: 2, attemptSaid: true, dispatch: undefined, identity: undefined },
      },
      get signal() {
        asked++;
        return signal;
      },
      log: lineLog(new ManualRuntime(), "info", (line) => lines.push(line)),
      progress: (...progress) => told.push(progress),
    },
    {},
    { a: 1 },
  );
  expect(asked).toBe(0);
  const { progress, log, ...rest } = { ...context };
  progress(5);
  log.info("mail.sent");
  expect(rest).toMatchObject({ jobId: "j1", tenant: "acme", rawContext: { a: 1 }, signal });
  expect(told).toEqual([[5, ""]]);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ event: "mail.sent", jobId: "j1", attempt: 2, traceId: "t1" });
  expect(asked).toBe(1);
});
