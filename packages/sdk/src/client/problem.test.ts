import { describe, expect, it } from "vitest";
import { parseProblem, parseRetryAfterMs } from "./problem.ts";

const parse = (status: number, body: string, traceId?: string) =>
  parseProblem({ status, statusText: "Text", body, traceId });

describe("problem", () => {
  it("reads problem+json with all its members", () => {
    const error = parse(
      409,
      JSON.stringify({
        type: "https://example.org/errors/approval-stale-policy",
        title: "Policy has changed",
        status: 409,
        detail: "policy changed at 10:00",
        instance: "/api/v1/approvals/j1/approve",
        code: "APPROVAL_STALE_POLICY",
        traceId: "t1",
        retryable: true,
        errors: [{ field: "reason", reason: "too long" }],
        error: "legacy text",
      }),
    );
    expect(error).toMatchObject({
      status: 409,
      code: "APPROVAL_STALE_POLICY",
      title: "Policy has changed",
      detail: "policy changed at 10:00",
      traceId: "t1",
      retryable: true,
      fields: [{ field: "reason", reason: "too long" }],
    });
    expect(error.message).toBe("APPROVAL_STALE_POLICY: policy changed at 10:00");
  });

  it("reads the flat and the nested JSON envelope", () => {
    expect(parse(403, '{"error":"tenant access denied","code":"tenant_access_denied","status":403}')).toMatchObject({
      code: "tenant_access_denied",
      title: "tenant access denied",
      detail: "tenant access denied",
      retryable: false,
    });
    expect(
      parse(400, '{"error":{"code":"bad","message":"no topic","details":{"fields":{"topic":"missing","n":3}}}}'),
    ).toMatchObject({
      code: "bad",
      detail: "no topic",
      fields: [
        { field: "topic", reason: "missing" },
        { field: "n", reason: "3" },
      ],
    });
  });

  it("reads plain text and an empty body", () => {
    expect(parse(404, "job not found\n", "t9")).toMatchObject({
      code: "HTTP_404",
      detail: "job not found",
      traceId: "t9",
      retryable: false,
    });
    expect(parse(503, "")).toMatchObject({ code: "HTTP_503", detail: "Text", retryable: true });
  });

  it.each([
    "{",
    "[1]",
    '{"code":7,"errors":"x","error":null,"title":{}}',
    '{"errors":[null,1,"text",[]]}',
    '{"__proto__":{"code":"EVIL"}}',
  ])("survives %s", (body) => {
    expect(parse(500, body)).toMatchObject({ status: 500, code: "HTTP_500" });
    expect(({} as { code?: string }).code).toBeUndefined();
  });

  it("caps what a server can put into a log", () => {
    const error = parse(
      500,
      JSON.stringify({ detail: "x".repeat(100_000), errors: Array(10_000).fill({ field: "f", reason: "r" }) }),
    );
    expect(error.detail.length).toBeLessThan(2_100);
    expect(error.fields).toHaveLength(100);
  });

  it("reads Retry-After", () => {
    expect(parseRetryAfterMs(" 30 ", 0)).toBe(30_000);
    expect(parseRetryAfterMs("Thu, 01 Jan 1970 00:00:10 GMT", 4_000)).toBe(6_000);
    expect(parseRetryAfterMs("Thu, 01 Jan 1970 00:00:01 GMT", 4_000)).toBe(0);
    expect(parseRetryAfterMs("soon", 0)).toBeUndefined();
    expect(parseRetryAfterMs("-1", 10 ** 13)).not.toBe(-1_000);
    expect(parseRetryAfterMs(null, 0)).toBeUndefined();
  });
});
