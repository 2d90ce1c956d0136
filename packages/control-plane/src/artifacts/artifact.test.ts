import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { labelsFor, parseArtifactPointer, parseContentType, parseRetention } from "./artifact.ts";

const ID = "0190f3c0-5c1e-7abc-8def-0123456789ab";

describe("the pointer to an artifact", () => {
  it.each([`redis://art:${ID}`, `redis:/art:${ID}`, `redis:art:${ID}`, `art:${ID}`, ID, ID.toUpperCase()])(
    "is read from %s",
    (text) => expect(parseArtifactPointer(text)).toBe(ID),
  );

  it.each([
    "",
    "redis://",
    "redis://art:",
    `redis://ctx:${ID}`,
    `redis://art:meta:${ID}`,
    `redis://art:art:${ID}`,
    `redis:///art:${ID}`,
    `redis://art:${ID}\n`,
    `redis://art:${ID}/..`,
    "redis://cfg:system:policy",
    "redis://art:x",
    `file://art:${ID}`,
  ])("A1 is not read from %j", (text) => {
    expect(() => parseArtifactPointer(text)).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }));
  });

  it("A1 names a UUID or nothing, whatever is asked", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `redis://art:${text}`),
        ),
        (text) => {
          try {
            expect(parseArtifactPointer(text)).toMatch(/^[0-9a-f-]{36}$/);
          } catch (error) {
            expect(error).toMatchObject({ code: "INVALID_REQUEST" });
          }
        },
      ),
    );
  });
});

describe("what is written about an artifact", () => {
  it("is one of three classes; any other word is the standard", () => {
    expect(["short", " AUDIT ", "standard", "", "for ever", "constructor"].map(parseRetention)).toEqual([
      "short",
      "audit",
      "standard",
      "standard",
      "standard",
      "standard",
    ]);
  });

  it("A2 names the tenant of the upload, whoever claims what", () => {
    expect(labelsFor("acme", {})).toEqual({ tenant_id: "acme" });
    expect(labelsFor("acme", { a: "b", tenant_id: "acme" })).toEqual({ a: "b", tenant_id: "acme" });
    expect(() => labelsFor("acme", { tenant_id: "other" })).toThrow(
      expect.objectContaining({ code: "TENANT_FORBIDDEN" }),
    );
    expect(() => labelsFor("acme", { tenant_id: "" })).toThrow(expect.objectContaining({ code: "TENANT_FORBIDDEN" }));
  });

  it.each([
    [{ "": "x" }, "labels"],
    [{ ["n".repeat(257)]: "x" }, "labels"],
    [{ a: "v".repeat(4_097) }, "labels.a"],
    [{ a: "\ud800" }, "labels.a"],
    [Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`n${n}`, ""])), "labels"],
    [Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`n${n}`, "v".repeat(1_000)])), "labels"],
  ])("is bounded: labels %#", (labels, field) => {
    expect(() => labelsFor("acme", labels)).toThrow(
      expect.objectContaining({ fields: [expect.objectContaining({ field })] }),
    );
  });

  it("has a content type that fits into a header", () => {
    expect(parseContentType(" text/plain; charset=utf-8 ")).toBe("text/plain; charset=utf-8");
    for (const text of ["a\r\nb", "é", "x".repeat(257)])
      expect(() => parseContentType(text)).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }));
  });
});
