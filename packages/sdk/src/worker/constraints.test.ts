import { describe, expect, it } from "vitest";
import { ConstraintsReader, NO_CONSTRAINTS } from "./constraints.ts";

describe("constraints of a worker's jobs (K2)", () => {
  it("are read once for as long as they are the same, and cannot be changed by a handler", () => {
    const reader = new ConstraintsReader();
    const text = '{"budgets":{"maxRuntimeMs":"60000"},"toolchain":{"allowedTools":["git"]}}';
    const first = reader.read(text);
    expect(first).toEqual({ budgets: { maxRuntimeMs: 60_000 }, toolchain: { allowedTools: ["git"] } });
    expect(reader.read(text)).toBe(first);
    expect(Object.isFrozen(first) && Object.isFrozen(first.budgets)).toBe(true);
    expect(Object.isFrozen(first.toolchain?.allowedTools)).toBe(true);
  });

  it("are those of the job, whatever came before", () => {
    const reader = new ConstraintsReader();
    reader.read('{"budgets":{"maxRetries":1}}');
    expect(reader.read(undefined)).toBe(NO_CONSTRAINTS);
    expect(reader.read("")).toEqual({});
    expect(() => reader.read("{")).toThrow("constraints are not JSON");
    expect(() => reader.read("{")).toThrow("constraints are not JSON");
    expect(reader.read('{"budgets":{"maxRetries":2}}')).toEqual({ budgets: { maxRetries: 2 } });
  });
});
