import { describe, expect, it } from "vitest";
import { Given } from "./given.ts";

describe("options", () => {
  it("read spans", () => {
    const spans = ["90", "500ms", "30s", "1m30s", "2h"].map((time) => new Given({ time }).span("time"));
    expect(spans).toEqual([90_000, 500, 30_000, 90_000, 7_200_000]);
    for (const time of ["0", "-1", "soon", "1d", "1.5s", "9".repeat(30)])
      expect(() => new Given({ time }).span("time")).toThrow(`--time expects a time such as 30s or 5m, got "${time}"`);
  });

  it("read whole numbers in range", () => {
    expect(new Given({ port: "0" }).whole("port", { min: 0, max: 9 })).toBe(0);
    expect(new Given({}).whole("port", { min: 0, max: 9 })).toBeUndefined();
    for (const port of ["10", "1.5", "x", "0x1"])
      expect(() => new Given({ port }).whole("port", { min: 0, max: 9 })).toThrow("--port");
  });

  it("read lists separated by commas or given several times", () => {
    expect(new Given({ tags: "a, b,,c" }).list("tags")).toEqual(["a", "b", "c"]);
    expect(new Given({ tags: ["a,b", "c"] }).list("tags")).toEqual(["a", "b", "c"]);
    expect(new Given({ workers: ["a,b.ts"] }).each("workers")).toEqual(["a,b.ts"]);
  });

  it("take an empty text for none", () => expect(new Given({ topic: "" }).text("topic")).toBeUndefined());
});
