import { readFileSync } from "node:fs";
import { CordumError, type CordumErrorParts } from "@cordum/sdk";
import { describe, expect, it } from "vitest";
import { EXIT_CODES } from "./exit-codes.ts";
import { CommandFailure, tell } from "./failure.ts";

function answered(parts: Partial<CordumErrorParts>): CordumError {
  return new CordumError({ status: 500, code: "X", title: "Title", detail: "detail", retryable: false, ...parts });
}

describe("failures", () => {
  it.each([
    [{ status: 401, code: "UNAUTHENTICATED" }, "FORBIDDEN"],
    [{ status: 403, code: "SELF_APPROVAL_DENIED" }, "FORBIDDEN"],
    [{ status: 404, code: "JOB_NOT_FOUND" }, "NOT_FOUND"],
    [{ status: 409, code: "APPROVAL_ALREADY_RESOLVED" }, "CONFLICT"],
    [{ status: 400, code: "INVALID_REQUEST" }, "FAILED"],
    [{ status: 0, code: "NETWORK_ERROR", retryable: true }, "UNREACHABLE"],
    [{ status: 503, code: "STATE_UNAVAILABLE", retryable: true }, "UNREACHABLE"],
    [{ status: 0, code: "WAIT_TIMEOUT", retryable: true }, "TIMEOUT"],
  ] as const)("%j ends with %s", (parts, exit) => expect(tell(answered(parts)).exitCode).toBe(EXIT_CODES[exit].code));

  it("name the code and the fields, and say what to do next", () => {
    const fields = [{ field: "topic", reason: "must start with job." }];
    const told = tell(answered({ status: 401, code: "UNAUTHENTICATED", detail: "no key", fields, traceId: "t1" }));
    expect(told.text.split("\n")).toEqual([
      "error: no key; topic: must start with job. (UNAUTHENTICATED)",
      expect.stringContaining("CORDUM_API_KEY"),
    ]);
  });

  it("lead to what there is instead", () => {
    const hintFor = (code: string): string => tell(answered({ status: 404, code })).text.split("\n")[1] ?? "";
    expect(hintFor("WORKER_NOT_FOUND")).toContain("`cordum workers`");
    expect(hintFor("JOB_NOT_FOUND")).toContain("`cordum job list`");
    expect(hintFor("DEAD_LETTER_NOT_FOUND")).toContain("`cordum dlq`");
    expect(hintFor("CONFIG_NOT_FOUND")).toContain("`cordum config effective`");
    expect(hintFor("SCHEMA_NOT_FOUND")).toContain("`cordum schemas list`");
    expect(hintFor("ROUTE_NOT_FOUND")).toContain("`cordum status`");
  });

  it("name the trace of what the server must explain", () => {
    expect(tell(answered({ status: 500, code: "INTERNAL", detail: "internal error", traceId: "t1" })).text).toBe(
      "error: internal error (INTERNAL) [trace t1]",
    );
  });

  it("show the number where an old server gave no code", () => {
    expect(tell(answered({ status: 404, code: "HTTP_404", detail: "job not found" })).text).toContain(
      "job not found (HTTP 404)",
    );
  });

  it("do not let a server's text move the cursor or write lines of its own", () => {
    const told = tell(answered({ status: 400, detail: "bad\u001b[2Jthing\nsecond line" }));
    expect(told.text).toBe("error: bad\\u001b[2Jthing second line (X)");
  });

  it("take anything that was thrown", () => {
    expect(tell("text")).toEqual({ exitCode: 1, text: "error: text" });
    expect(tell(new CommandFailure("USAGE", "wrong", "right"))).toEqual({ exitCode: 2, text: "error: wrong\n  right" });
  });
});

describe("exit codes", () => {
  it("are all different", () => {
    const codes = Object.values(EXIT_CODES).map(({ code }) => code);
    expect(new Set(codes).size).toBe(codes.length);
  });

  it("are those of docs/reference/cli.md", () => {
    const page = readFileSync(new URL("../../../docs/reference/cli.md", import.meta.url), "utf8");
    const rows = Object.values(EXIT_CODES).map(({ code, says }) => `| ${code} | ${says} |`);
    expect(page.slice(page.indexOf("## Exit codes")).match(/^\| \d+ .*$/gm)).toEqual(rows);
  });
});
