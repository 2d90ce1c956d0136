import { describe, expect, it } from "vitest";
import { limitsFor, parsePools, parseTimeouts, poolsFor } from "./routing.ts";

describe("parsePools", () => {
  it("reads topics with one pool or several, and what pools require", () => {
    const parsed = parsePools(
      "topics:\n  job.default: default\n  job.batch: [batch, batch-b]\npools:\n  batch: {requires: [gpu]}\n",
      false,
    );
    if (parsed.kind !== "parsed") throw new Error(parsed.faults.join());
    expect(poolsFor(parsed.value, "job.batch")).toEqual(["batch", "batch-b"]);
    expect(poolsFor(parsed.value, "job.other")).toEqual([]);
    expect(parsed.value.pools.get("batch")).toEqual({ requires: ["gpu"] });
  });

  it.each([
    ["", "pool config has no topics"],
    ["topics: {}", "pool config has no topics"],
    ["topics: {job.a: []}", "topics.job.a: expected a pool name or a non-empty list of pool names"],
    ["topics: {job.a: p}\nmore: 1", "more: unknown key; expected topics or pools"],
    ["topics: {job.a: p}\npools: {p: {size: 3}}", "pools.p.size: expected only requires, a list of names"],
    ["topics: [a]", "topics: expected a mapping"],
    ["topics: {job.a: p, job.a: q}", "Map keys must be unique"],
  ])("refuses %j", (text, fault) => {
    const parsed = parsePools(text, false);
    expect(parsed.kind === "invalid" && parsed.faults.join("; ")).toContain(fault);
  });

  it("keeps hostile names apart from the language's own", () => {
    const parsed = parsePools("topics: {__proto__: p, constructor: q}", false);
    if (parsed.kind !== "parsed") throw new Error("refused");
    expect(poolsFor(parsed.value, "__proto__")).toEqual(["p"]);
    expect(poolsFor(parsed.value, "toString")).toEqual([]);
  });
});

describe("parseTimeouts", () => {
  it("reads a limit per topic, and the general one", () => {
    const parsed = parseTimeouts(
      "topics: {job.a: {timeout_seconds: 5, max_retries: 2}}\nreconciler: {running_timeout_seconds: 60}\nworkflows: {w: {max_retries: 1}}",
    );
    if (parsed.kind !== "parsed") throw new Error(parsed.faults.join());
    expect(limitsFor(parsed.value, "job.a")).toEqual({ timeoutMs: 5_000, maxRetries: 2 });
    expect(limitsFor(parsed.value, "job.b")).toEqual({ timeoutMs: 60_000, maxRetries: 0 });
  });

  it("names every fault at once", () => {
    const parsed = parseTimeouts("topics: {job.a: {timeout_seconds: -1, retries: 2}}\nother: 1");
    expect(parsed.kind === "invalid" && parsed.faults).toEqual([
      "topics.job.a.timeout_seconds: expected an integer of 0 or more",
      "topics.job.a.retries: unknown key; expected timeout_seconds, max_retries",
      "other: unknown key; expected workflows, topics or reconciler",
    ]);
  });
});
