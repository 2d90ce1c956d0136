import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { REDACTED, redactJson, redactSecrets, redactText, refersToSecret } from "./secrets.ts";

/** `depth` lists around `value`. */
const nested = (value: unknown, depth: number): unknown => (depth === 0 ? value : [nested(value, depth - 1)]);

describe("finding", () => {
  it.each<[unknown, boolean]>([
    ["secret://vault/db", true],
    ["  secret://vault/db", true],
    ["use secret://vault/db to connect", true],
    ["SECRET://vault/db", true],
    [{ a: [{ b: "secret://x" }] }, true],
    [{ "secret://x": 1 }, true],
    ['{"k":"secret:\\/\\/x"}', true],
    ["secret:/x", false],
    ["the secret is out", false],
    [{ a: [1, null, true, "x"] }, false],
    [undefined, false],
    ["", false],
  ])("%.60j: %s", (value, expected) => {
    expect(refersToSecret(value)).toBe(expected);
  });

  it("does not mind depth", () => {
    expect([refersToSecret(nested("secret://x", 5000)), refersToSecret(nested("x", 5000))]).toEqual([true, false]);
  });

  it("takes what is too large to look through as containing one", () => {
    expect(refersToSecret(Array.from({ length: 1_000_001 }, () => 0))).toBe(true);
  });

  it("ends on a value that contains itself", () => {
    const circle: unknown[] = [];
    circle.push(circle);
    expect(refersToSecret(circle)).toBe(true);
  });
});

describe("blanking out", () => {
  it.each([
    ["secret://vault/db", REDACTED],
    ["a secret://vault/db#key, b", `a ${REDACTED} b`],
    ['{"k":"secret://vault/db","l":1}', `{"k":"${REDACTED}","l":1}`],
    ['{"k":"secret:\\/\\/vault\\/db"}', `{"k":"${REDACTED}"}`],
    ["secret://a secret://b", `${REDACTED} ${REDACTED}`],
    ["nothing here", "nothing here"],
  ])("%s", (text, expected) => {
    expect(redactText(text)).toEqual({ value: expected, changed: text !== expected });
  });

  it("goes through a value and leaves the original alone", () => {
    const value = { a: ["secret://x", 1], "secret://k": { b: null } };
    expect(redactSecrets(value)).toEqual({ value: { a: [REDACTED, 1], [REDACTED]: { b: null } }, changed: true });
    expect(value.a[0]).toBe("secret://x");
    expect(redactSecrets({ a: "x" })).toEqual({ value: { a: "x" }, changed: false });
  });

  it("keeps a member named __proto__ a member", () => {
    const { value } = redactSecrets(JSON.parse('{"__proto__": {"a": "secret://x"}}'));
    expect(JSON.stringify(value)).toBe(`{"__proto__":{"a":"${REDACTED}"}}`);
  });

  it("replaces whole what lies too deep", () => {
    expect(redactSecrets(nested("x", 65))).toEqual({ value: nested(REDACTED, 64), changed: true });
    expect(redactSecrets(nested("x", 64)).changed).toBe(false);
  });

  it("goes through JSON that is a text in JSON, and leaves other JSON as it was written", () => {
    const inner = JSON.stringify({ dsn: "secret://vault/db" }).replaceAll("/", "\\/");
    expect(redactJson(JSON.stringify({ a: inner }))).toBe(JSON.stringify({ a: `{"dsn":"${REDACTED}"}` }));
    for (const text of ['{"a": 1.50, "b": "the secret: none"}', "", "no JSON"]) expect(redactJson(text)).toBe(text);
    expect(redactJson("no JSON, but secret://vault/db")).toBe(`no JSON, but ${REDACTED}`);
  });

  it("leaves nothing that is found again", () => {
    const part = fc.constantFrom("secret://", "SECRET:\\/\\/", "secret:", "/", "\\", '"', " ", "x", "secret:/");
    const text = fc.array(part, { maxLength: 12 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(fc.oneof(text, fc.array(text), fc.dictionary(text, fc.array(text))), (value) => {
        const { value: redacted, changed } = redactSecrets(value);
        expect(refersToSecret(redacted)).toBe(false);
        expect(changed).toBe(refersToSecret(value));
      }),
      { numRuns: 2000 },
    );
  });
});
