import { describe, expect, it } from "vitest";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import { derivedUuid, newUuid } from "./ids.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe("newUuid", () => {
  it("is a UUID of version 7 that grows with time and never repeats", () => {
    const clock = virtualClock({ seed: 1, startAt: 1_800_000_000_000 });
    const ids = Array.from({ length: 1_000 }, () => newUuid(clock));
    expect(new Set(ids).size).toBe(1_000);
    expect(UUID.exec(ids[0] ?? "")?.[1]).toBe("7");
    expect(Number.parseInt((ids[0] ?? "").replace("-", "").slice(0, 12), 16)).toBe(1_800_000_000_000);
  });
});

describe("derivedUuid", () => {
  it("is the same for the same parts, and another for parts that only look alike when joined", () => {
    expect(derivedUuid("a", "b")).toBe(derivedUuid("a", "b"));
    expect(
      new Set([
        derivedUuid("a", "b:c"),
        derivedUuid("a:b", "c"),
        derivedUuid("ab", "c"),
        derivedUuid("a", "bc"),
        derivedUuid("a", "b", "c"),
      ]).size,
    ).toBe(5);
    expect(UUID.exec(derivedUuid("ä", ""))?.[1]).toBe("8");
  });
});
