import { describe, expect, it } from "vitest";
import { backoffMs } from "./backoff.ts";
import { newWorkerId, onFirstStopSignal, systemRuntime } from "./runtime.ts";

const never = new AbortController().signal;

describe("runtime", () => {
  it("sleeps to the end, ends early by its signal, and at once when it has already fired", async () => {
    expect(await systemRuntime.sleep(1, never)).toBe(true);
    expect(await systemRuntime.sleep(-5, never)).toBe(true);
    const stop = new AbortController();
    const sleeping = systemRuntime.sleep(60_000, stop.signal);
    stop.abort();
    expect(await sleeping).toBe(false);
    expect(await systemRuntime.sleep(60_000, stop.signal)).toBe(false);
  });

  it("does not take a wait beyond a timer's range for none", async () => {
    const stop = new AbortController();
    let isOver = false;
    const sleeping = systemRuntime.sleep(2 ** 40, stop.signal).then(() => {
      isOver = true;
    });
    await systemRuntime.sleep(5, never);
    expect(isOver).toBe(false);
    stop.abort();
    await sleeping;
  });

  it("makes worker ids that fit into a subject, however the host is called", () => {
    const ids = Array.from({ length: 50 }, () => newWorkerId(systemRuntime));
    expect(new Set(ids).size).toBe(50);
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
  });

  it("hears the first stop signal and its twin as one, and leaves no listener behind", async () => {
    const before = process.listenerCount("SIGTERM");
    const heard: string[] = [];
    onFirstStopSignal((signal) => heard.push(signal));
    expect(process.listenerCount("SIGTERM")).toBe(before + 1);
    process.emit("SIGTERM", "SIGTERM");
    process.emit("SIGINT", "SIGINT");
    expect(heard).toEqual(["SIGTERM"]);
    while (process.listenerCount("SIGTERM") > before) await systemRuntime.sleep(10, never);
    onFirstStopSignal(() => heard.push("again"))();
    expect(process.listenerCount("SIGTERM")).toBe(before);
  });
});

describe("backoff", () => {
  it("doubles, keeps at least half, and ends at the cap", () => {
    const limits = { baseMs: 100, capMs: 1_000 };
    expect([1, 2, 3, 4, 5, 50].map((n) => backoffMs(n, limits, 0))).toEqual([50, 100, 200, 400, 500, 500]);
    expect(backoffMs(3, limits, 0.999)).toBeCloseTo(399.8);
  });
});
