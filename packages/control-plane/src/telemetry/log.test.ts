import { describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import { createLog, type LogSettings, WARNINGS } from "./log.ts";

const KEY = `cordum_${"aB3".repeat(20)}`;
const AT = Date.UTC(2026, 0, 2, 3, 4, 5, 6);
function open(over: Partial<LogSettings> = {}) {
  const lines: string[] = [];
  const log = createLog(
    { format: "json", level: "info", about: { service: "gateway" }, ...over },
    { write: (line) => lines.push(line) },
    () => AT,
  );
  return { log, lines, parsed: () => lines.map((line): unknown => JSON.parse(line)) };
}

describe("the log", () => {
  it("writes one JSON line per event", () => {
    const { log, lines, parsed } = open();
    log.info("job.dispatched", { jobId: "j1\ninjected", attempt: 2, tags: ["a", "b"], gone: undefined });
    log.debug("too.detailed");
    expect(lines).toHaveLength(1);
    expect(lines[0]?.endsWith("\n")).toBe(true);
    expect(parsed()[0]).toEqual({
      level: "info",
      time: "2026-01-02T03:04:05.006Z",
      service: "gateway",
      jobId: "j1\ninjected",
      attempt: 2,
      tags: ["a", "b"],
      event: "job.dispatched",
    });
  });

  it("writes readable lines that no value can break", () => {
    const { log, lines } = open({ format: "text" });
    log.warn("job.late", { jobId: "j1", reason: "a b\n2026 ERROR forged", n: 1 });
    expect(lines).toEqual([
      '2026-01-02T03:04:05.006Z WARN  job.late jobId=j1 reason="a b\\n2026 ERROR forged" n=1 service=gateway\n',
    ]);
  });

  it("is not filled by whoever causes warnings: the next line says how many there were not (L4)", () => {
    const lines: string[] = [];
    let now = AT;
    const sink = { write: (line: string) => lines.push(line) };
    const log = createLog({ format: "json", level: "info", about: {} }, sink, () => now);
    for (let n = 0; n < 5_000; n++) {
      log.warn("session.refused", { n });
      log.error("request.failed", new Error("x"));
      log.info("job.dispatched");
    }
    log.warn("bus.lost");
    const of = (event: string) => lines.filter((line) => line.includes(event));
    expect(
      ["session.refused", "request.failed", "job.dispatched", "bus.lost"].map((event) => of(event).length),
    ).toEqual([WARNINGS.max, WARNINGS.max, 5_000, 1]);
    now += WARNINGS.spanMs;
    log.warn("session.refused", { n: 5_000 });
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ n: 5_000, untoldBefore: 4_900 });
    now -= 60_000; // a clock that was put back keeps nothing silent
    log.warn("session.refused", { n: 5_001 });
    expect(JSON.parse(lines.at(-1) ?? "")).not.toHaveProperty("untoldBefore");
  });

  it.each(["json", "text"] as const)("hides secrets in %s lines", (format) => {
    const { log, lines } = open({ format });
    log.info("a.b", {
      apiKey: "hunter2",
      "x-api-key": "hunter2",
      password: "hunter2",
      url: "redis://:hunter2@host:6379/0",
      note: "use secret://vault/hunter2, please",
      body: '{"dsn":"secret:\\/\\/vault\\/hunter2"}',
      quoted: `sent ${KEY} twice: ${KEY.slice(0, 50)}`,
      keyId: "visible",
    });
    log.error("c.d", new Error("connect redis://user:hunter2@host", { cause: new Error("SECRET://x/hunter2") }));
    expect(lines.join("")).not.toContain("hunter2");
    expect(lines.join("")).not.toContain(KEY.slice(0, 30));
    expect(lines.join("")).toContain("visible");
    expect(lines.join("")).toContain("[redacted]@host");
  });

  it("tells what was thrown with its causes, also in a circle", () => {
    const { log, parsed } = open();
    const inner = new Error("socket closed");
    const fault = new Fault("STATE_UNAVAILABLE", "no answer", { cause: inner });
    inner.cause = fault;
    log.error("commit.failed", fault, { jobId: "j" });
    log.error("odd.throw", "just text");
    log.error("odd.throw", undefined);
    log.error("many.thrown", new AggregateError([new Error("first")], "several"));
    expect(parsed()[0]).toMatchObject({
      level: "error",
      jobId: "j",
      error: "Fault STATE_UNAVAILABLE: no answer",
      causes: ["Error: socket closed", "Fault STATE_UNAVAILABLE: no answer"],
    });
    expect(parsed()[1]).toMatchObject({ error: "just text" });
    expect(parsed()[2]).toMatchObject({ error: "thrown undefined" });
    expect(parsed()[3]).toMatchObject({ causes: ["Error: first"] });
  });

  it("bounds a line", () => {
    const { log, lines } = open();
    log.info("a.b", { text: "://".repeat(1_000_000), list: Array.from({ length: 10_000 }, () => "x") });
    expect(lines[0]?.length).toBeLessThan(20_000);
  });
});
