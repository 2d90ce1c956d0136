import { describe, expect, it } from "vitest";
import { ManualRuntime, settle } from "../testing/manual-runtime.ts";
import { DeadlinePassed, Deadlines } from "./deadlines.ts";

describe("deadlines", () => {
  it("gives what the work gives, and its error", async () => {
    const deadlines = new Deadlines(new ManualRuntime());
    expect(await deadlines.within(1_000, "work", async () => 7)).toBe(7);
    await expect(deadlines.within(1_000, "work", () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
    const throws = () => {
      throw new Error("thrown");
    };
    await expect(deadlines.within(1_000, "work", throws)).rejects.toThrow("thrown");
  });

  it("ends each call at its own time, at most a tick late, and survives the late answer", async () => {
    const clock = new ManualRuntime();
    const deadlines = new Deadlines(clock);
    const ended: string[] = [];
    const answer = Promise.withResolvers<void>();
    const watch = (name: string, ms: number) =>
      deadlines
        .within(ms, name, () => answer.promise)
        .catch((error: unknown) => {
          if (error instanceof DeadlinePassed) ended.push(error.message);
        });
    void watch("slow", 1_000);
    void watch("quick", 300);
    await clock.advance(250);
    expect(ended).toEqual([]);
    await clock.advance(200);
    expect(ended).toEqual(["quick took more than 300 ms"]);
    await clock.advance(800);
    expect(ended).toHaveLength(2);
    answer.reject(new Error("too late"));
    await settle();
  });

  it("watches again after it had nothing to watch", async () => {
    const clock = new ManualRuntime();
    const deadlines = new Deadlines(clock);
    await deadlines.within(100, "first", async () => 1);
    await clock.advance(1_000);
    const failed = expect(deadlines.within(100, "second", () => new Promise(() => undefined))).rejects.toThrow(
      "second",
    );
    await clock.advance(400);
    await failed;
  });
});
