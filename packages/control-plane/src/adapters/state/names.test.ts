import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { indexName, logName, parseRecordName, recordName } from "./names.ts";

const part = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(":", "%", "3", "A", "2", "5", "a") }));

describe("names", () => {
  it("N1: are readable for usual ids", () => {
    expect(recordName({ partition: 0, kind: "job", id: "j1" })).toBe("job:j1");
    expect(indexName({ partition: 0, index: "by_state", of: ["acme", "RUNNING"] })).toBe("by_state:acme:RUNNING");
    expect(logName({ partition: 0, log: "audit", of: "run:1" })).toBe("audit:run%3A1");
  });
  it("N1: of records come apart as they were joined", () => {
    fc.assert(
      fc.property(part, part, (kind, id) => {
        expect(parseRecordName(recordName({ partition: 0, kind, id }))).toEqual({ kind, id });
      }),
    );
  });
  it("N1: of different indexes differ", () => {
    fc.assert(
      fc.property(fc.array(part, { minLength: 1 }), fc.array(part, { minLength: 1 }), (left, right) => {
        const [a, b] = [left, right].map(([index = "", ...of]) => indexName({ partition: 0, index, of }));
        expect(a === b).toBe(JSON.stringify(left) === JSON.stringify(right));
      }),
    );
  });
});
