// The codec by examples and properties: values, orders, spellings.

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { generate } from "../scripts/generate.mjs";
import {
  BusPacket,
  Heartbeat,
  JobRequest,
  JobStatus,
  jobStatusNames,
  PolicyCheckResponse,
  PolicyConstraints,
  Rule,
} from "./gen/agent.ts";
import { Timestamp } from "./gen/google.ts";
import { decode } from "./wire/decode.ts";
import { encode } from "./wire/encode.ts";
import { fromProtoJson } from "./wire/json-read.ts";
import { toProtoJson } from "./wire/json-write.ts";
import { enumName, type Init, safeInteger } from "./wire/schema.ts";
import { epochMsOf, parseTimestamp, timestampOf, timestampText } from "./wire/timestamp.ts";

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("generated tables", () => {
  it.each(generate().map(({ file, content }) => [file, content] as const))(
    "%s is what the .proto files say",
    (file, content) => {
      expect(readFileSync(new URL(`./gen/${file}`, import.meta.url), "utf8")).toBe(content);
    },
  );
});

const text = fc.string({ unit: "binary", maxLength: 40 });
const texts = fc.dictionary(text, text, { maxKeys: 20, noNullPrototype: false });
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const int64 = fc
  .oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: -300n, max: 300n }))
  .map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value));
const requests = fc.record({
  jobId: text,
  topic: text,
  priority: int32,
  stepIndex: int32,
  env: texts,
  labels: texts,
  budget: fc.option(fc.record({ deadlineMs: int64, maxInputTokens: int64 }), { nil: undefined }),
  contextHints: fc.option(fc.record({ allowRetrieval: fc.boolean(), tags: fc.array(text) }), { nil: undefined }),
  contextRef: fc.option(
    fc.record({
      sha256: fc.uint8Array({ maxLength: 40 }),
      sizeBytes: fc.bigInt({ min: 2n ** 60n, max: 2n ** 64n - 1n }),
    }),
    {
      nil: undefined,
    },
  ),
});

describe("encode and decode", () => {
  it("are inverse for every request", () => {
    fc.assert(
      fc.property(requests, (request) => {
        const bytes = encode(JobRequest, request);
        const message = decode(JobRequest, bytes);
        expect(message).toMatchObject(request);
        expect(hexOf(encode(JobRequest, message))).toBe(hexOf(bytes));
        const json: unknown = JSON.parse(JSON.stringify(toProtoJson(JobRequest, message)));
        expect(hexOf(encode(JobRequest, fromProtoJson(JobRequest, json)))).toBe(hexOf(bytes));
      }),
    );
  });

  it("sort map keys by their bytes, whatever order they were set in", () => {
    fc.assert(
      fc.property(fc.uniqueArray(text, { minLength: 2, maxLength: 40 }), (keys) => {
        const env = (order: readonly string[]) => ({ env: Object.fromEntries(order.map((key) => [key, ""])) });
        const bytes = encode(JobRequest, env(keys));
        expect(hexOf(encode(JobRequest, env([...keys].reverse())))).toBe(hexOf(bytes));
        const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        expect(hexOf(bytes)).toBe(sorted.map((key) => hexOf(encode(JobRequest, env([key])))).join(""));
      }),
    );
  });

  it("write half a surrogate pair as U+FFFD", () => {
    expect(decode(JobRequest, encode(JobRequest, { jobId: "a\ud800b" })).jobId).toBe("a\ufffdb");
    expect(decode(JobRequest, encode(JobRequest, { jobId: `${"x".repeat(100)}\udfff` })).jobId).toBe(
      `${"x".repeat(100)}\ufffd`,
    );
  });

  it("keep -0, NaN and infinities", () => {
    const beat = decode(
      Heartbeat,
      encode(Heartbeat, { cpuLoad: -0, gpuUtilization: Number.NaN, memoryLoad: Number.NEGATIVE_INFINITY }),
    );
    expect([beat.cpuLoad, beat.gpuUtilization, beat.memoryLoad]).toEqual([-0, Number.NaN, Number.NEGATIVE_INFINITY]);
    expect(hexOf(encode(Heartbeat, { cpuLoad: 0 }))).toBe("");
  });

  it("give safe integers as numbers and others as bigints", () => {
    const deadline = (value: number | bigint) =>
      decode(JobRequest, encode(JobRequest, { budget: { deadlineMs: value } })).budget?.deadlineMs;
    for (const value of [0, -1, 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 32, -(2 ** 32)]) expect(deadline(value)).toBe(value);
    expect(deadline(5n)).toBe(5);
    for (const value of [2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)]) expect(deadline(value)).toBe(value);
    expect([safeInteger(7), safeInteger(2n ** 53n)]).toEqual([7, undefined]);
  });

  const wrong: readonly Init<JobRequest>[] = [
    { stepIndex: 1.5 },
    { stepIndex: 2 ** 31 },
    { stepIndex: Number.NaN },
    { budget: { deadlineMs: 2 ** 53 } },
    { budget: { deadlineMs: 2n ** 63n } },
    { dispatch: { attempt: -1 } },
    { contextRef: { sizeBytes: 2n ** 64n } },
  ];
  it.each(wrong)("refuse the value %o", (request) => {
    expect(() => encode(JobRequest, request)).toThrow("bad_value");
    expect(hexOf(encode(JobRequest, { jobId: "j" }))).toBe("0a016a"); // and go on as if nothing had been
  });

  it("refuse values of the wrong type, as JavaScript callers may give them", () => {
    for (const value of [
      { jobId: 5 },
      { env: { a: null } },
      { env: null },
      { labels: "a" },
      { meta: "m" },
      { contextHints: { allowRetrieval: 1 } },
      { contextRef: { sha256: "x" } },
    ]) {
      expect(() => encode(JobRequest, value as unknown as Init<JobRequest>)).toThrow("bad_value");
    }
    expect(() =>
      encode(BusPacket, { payload: { kind: "constructor", value: {} } } as unknown as Init<BusPacket>),
    ).toThrow("bad_value");
  });
});

describe("protobuf JSON", () => {
  it("writes constraints as workers find them in their env", () => {
    const constraints = fromProtoJson(PolicyConstraints, {
      budgets: { max_runtime_ms: "60000" },
      sandbox: {},
      redaction_level: "strict",
    });
    expect(toProtoJson(PolicyConstraints, constraints)).toEqual({
      budgets: { maxRuntimeMs: "60000" },
      sandbox: {},
      redactionLevel: "strict",
    });
  });

  it("writes unset fields where asked", () => {
    const answer = decode(PolicyCheckResponse, encode(PolicyCheckResponse, { decision: 1 }));
    expect(toProtoJson(PolicyCheckResponse, answer, { names: "lowerCamel", unset: true })).toMatchObject({
      decision: "DECISION_TYPE_ALLOW",
      redactedContextPtr: "",
      constraints: null,
      approvalRequired: false,
      remediations: [],
    });
    expect(toProtoJson(BusPacket, decode(BusPacket, new Uint8Array(0)), { names: "lowerCamel", unset: true })).toEqual({
      traceId: "",
      senderId: "",
      createdAt: null,
      protocolVersion: 0,
      signatureMetadata: null,
      identity: null,
      signature: "",
      authToken: "",
    });
  });

  it("names enums", () => {
    expect(enumName(jobStatusNames, JobStatus.FAILED)).toBe("JOB_STATUS_FAILED");
    expect(enumName(jobStatusNames, 99)).toBe("99");
  });

  const refusals: readonly (readonly [unknown, string])[] = [
    [null, "expected an object"],
    [[], "expected an object"],
    [{ nope: 1 }, "nope: no such field"],
    [{ jobId: 1 }, "job_id: expected text"],
    [{ jobId: "a", job_id: "b" }, "job_id: given twice"],
    [{ env: [] }, "env: expected an object"],
    [{ env: { a: null } }, "env: expected text"],
    [{ priority: "HIGH" }, "no such enum value"],
    [{ stepIndex: "2147483648" }, "out of range"],
    [{ stepIndex: 1.5 }, "expected an integer"],
    [{ budget: { deadlineMs: 2 ** 53 } }, "expected an integer"],
    [{ budget: { deadlineMs: "9223372036854775808" } }, "out of range"],
    [{ budget: { deadlineMs: "1e3" } }, "expected an integer"],
    [{ dispatch: { attempt: "-1" } }, "out of range"],
    [{ contextRef: { sha256: "?" } }, "expected base64"],
    [{ contextRef: { expiresAt: "tomorrow" } }, "RFC 3339"],
    [{ meta: { riskTags: "x" } }, "meta.risk_tags: expected a list"],
    [{ contextHints: { allowRetrieval: "true" } }, "expected true or false"],
  ];
  it.each(refusals)("refuses %j", (json, why) => {
    expect(() => fromProtoJson(JobRequest, json)).toThrow(why);
  });

  it("refuses two payloads, and ignores unknown names where told", () => {
    expect(() => fromProtoJson(BusPacket, { jobRequest: {}, jobResult: {} })).toThrow("a second member of a choice");
    expect(fromProtoJson(JobRequest, { jobId: "j", nope: 1 }, { unknownNames: "ignore" }).jobId).toBe("j");
    const env = fromProtoJson(JobRequest, JSON.parse('{"env":{"__proto__":"x"}}')).env;
    expect(Object.keys(env)).toEqual(["__proto__"]);
  });

  it("bounds nesting", () => {
    const deep = (levels: number): unknown =>
      JSON.parse(`${'{"match":{"a":'}${"[".repeat(levels)}${"]".repeat(levels)}}}`);
    expect(toProtoJson(Rule, fromProtoJson(Rule, deep(50)))).toEqual(deep(50));
    expect(() => fromProtoJson(Rule, deep(5000))).toThrow("too_deep");
  });
});

describe("timestamps", () => {
  it.each([
    ["2026-01-05T10:00:00Z", 1_767_607_200, 0],
    ["2026-01-05T10:00:00.120Z", 1_767_607_200, 120_000_000],
    ["2026-01-05T10:00:00.000120Z", 1_767_607_200, 120_000],
    ["1969-12-31T23:59:59.500Z", -1, 500_000_000],
    ["0001-01-01T00:00:00Z", -62_135_596_800, 0],
    ["9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999],
  ])("reads and writes %s", (rfc3339, seconds, nanos) => {
    const timestamp = { seconds, nanos, unknownFields: undefined };
    expect(parseTimestamp(rfc3339)).toEqual(timestamp);
    expect(timestampText(timestamp)).toBe(rfc3339);
  });

  it("reads offsets and trailing zeros", () => {
    expect(parseTimestamp("2026-01-05T12:00:00.5000+02:00")).toEqual(parseTimestamp("2026-01-05T10:00:00.5z"));
  });

  const refused = [
    "",
    "2026-01-05",
    "2026-02-30T00:00:00Z",
    "2026-01-05T25:00:00Z",
    "2026-01-05T10:00:00",
    "0000-01-01T00:00:00Z",
  ];
  it.each([...refused, "0001-01-01T00:00:00+01:00", `2026-01-05T10:00:00.${"0".repeat(100)}Z`])(
    "refuses %j",
    (text) => {
      expect(parseTimestamp(text)).toBe(undefined);
    },
  );

  it("has no text and no milliseconds for what RFC 3339 cannot say", () => {
    for (const [seconds, nanos] of [
      [253_402_300_800, 0],
      [-62_135_596_801, 0],
      [2n ** 62n, 0],
      [0, -1],
      [0, 1_000_000_000],
    ] as const) {
      const timestamp = { seconds, nanos, unknownFields: undefined };
      expect([timestampText(timestamp), epochMsOf(timestamp), toProtoJson(Timestamp, timestamp)]).toEqual([
        undefined,
        undefined,
        null,
      ]);
    }
  });

  it("converts whole milliseconds both ways", () => {
    const moments = fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 });
    fc.assert(
      fc.property(moments, (ms) => {
        expect(epochMsOf(timestampOf(ms))).toBe(ms);
      }),
    );
  });
});
