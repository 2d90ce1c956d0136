import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { patternOf, signatureOf } from "./signature.ts";

describe("the pattern of a message", () => {
  it.each([
    ["timeout after 3000ms", "timeout after <n>ms"],
    ["timeout after 2.5 s (attempt 3 of 5)", "timeout after <n> s (attempt <n> of <n>)"],
    ["no such order 7f3b9c1e-4d2a-4f6b-9a1c-0e5d8b7a6c3f", "no such order <id>"],
    ["job 01b8dac5-b400-775f-a326-f80c8b75a9ef: lost", "job <id> lost"],
    ["commit deadbeef01 not found", "commit <id> not found"],
    ["at 0x7ffee3b2a1c0", "at <id>"],
    ["open /var/lib/data/part-00017: no such file", "open /var/lib/data/part-<n>: no such file"],
    ['cannot read "C:\\temp\\a.txt" now', "cannot read <text> now"],
    ["unknown column 'total' in `orders`", "unknown column <text> in <text>"],
    ["can't reach host, don't know why", "can't reach host, don't know why"],
    ["connect ECONNREFUSED 10.1.2.3:5432", "connect ECONNREFUSED <n>"],
    ["2026-03-04T05:06:07.891Z failed", "<id> failed"],
    ["mail to ada.lovelace@example.org bounced", "mail to <address> bounced"],
    ["HTTP 503", "HTTP <n>"],
    ["line one\n\n   line   two\t!", "line one line two !"],
    ["größe 12 überschritten", "größe <n> überschritten"],
    ["", ""],
    ["never", "never"],
  ])("%s", (message, pattern) => {
    expect(patternOf(message)).toBe(pattern);
  });

  it("of an unclosed quote goes on", () => {
    expect(patternOf('expected "a 1')).toBe('expected "a <n>');
  });

  it("is short, well-formed text and the same each time, whatever the message", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 3_000 }), (message) => {
        const pattern = patternOf(message);
        expect(pattern.length).toBeLessThanOrEqual(256);
        expect(pattern).toBe(patternOf(message));
      }),
    );
  });

  it("looks at no more of a hostile message than of any other", () => {
    const quotes = `'"\``.repeat(400_000);
    const [short, long] = [quotes.slice(0, 1_024), quotes];
    expect(patternOf(long)).toBe(patternOf(short));
  });
});

describe("the signature of an error", () => {
  const error = { code: "E1", topic: "job.echo", message: "no order 17" };
  it("is that of errors which differ in numbers and names", () => {
    expect(signatureOf({ ...error, message: "no order 18" })).toEqual(signatureOf(error));
    expect(signatureOf(error).signature).toMatch(/^[0-9a-f]{16}$/);
  });

  it("tells codes, topics and messages apart", () => {
    const others = [{ code: "E2" }, { topic: "job.other" }, { message: "no offer 17" }];
    const signatures = [error, ...others.map((over) => ({ ...error, ...over }))].map(
      (one) => signatureOf(one).signature,
    );
    expect(new Set(signatures).size).toBe(4);
  });
});
