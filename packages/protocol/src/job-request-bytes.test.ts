// Requests as bytes: taken out, completed, wrapped; what a protobuf reader makes of the result.

import { describe, expect, it } from "vitest";
import { appendJobRequestFields, jobRequestBytes, wrapJobRequest } from "./job-request-bytes.ts";
import { decodeJobRequest, decodePacket, encodeJobRequest, encodePacket } from "./packet.ts";

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
/** Field 200, `new`: what a release after ours may add. */
const fromTheFuture = bytesOf("c20c036e6577");

const request = encodeJobRequest({
  jobId: "j",
  topic: "job.x",
  priority: 2,
  env: { keep: "1", change: "old" },
  labels: { a: "1" },
  budget: { maxInputTokens: 7, deadlineMs: 1 },
  meta: { riskTags: ["low"] },
  unknownFields: fromTheFuture,
});
const received = encodePacket({
  traceId: "t",
  senderId: "client",
  createdAt: { seconds: 5, nanos: 7 },
  protocolVersion: 1,
  signature: bytesOf("010203"),
  payload: { kind: "jobRequest", value: decodeJobRequest(request) },
  unknownFields: bytesOf("a006ac02"),
});
const fields = {
  contextPtr: "redis://ctx:j",
  env: { change: "new", CORDUM_EFFECTIVE_CONFIG: "{}" },
  labels: { b: "" },
  budget: { deadlineMs: 30_000 },
  dispatch: { dispatchId: "d", attempt: 1, assignedWorkerId: "w" },
  meta: { riskTags: ["high"] },
};
const merged = {
  jobId: "j",
  topic: "job.x",
  priority: 2,
  contextPtr: "redis://ctx:j",
  env: { keep: "1", change: "new", CORDUM_EFFECTIVE_CONFIG: "{}" },
  labels: { a: "1", b: "" },
  budget: { maxInputTokens: 7, deadlineMs: 30_000 },
  dispatch: { dispatchId: "d", attempt: 1, assignedWorkerId: "w" },
  meta: { riskTags: ["low", "high"] },
  unknownFields: fromTheFuture,
};

function requestOf(bytes: Uint8Array): unknown {
  const { payload } = decodePacket(bytes);
  return payload?.kind === "jobRequest" ? payload.value : payload?.kind;
}

describe("appendJobRequestFields", () => {
  it("merges into the request and keeps the received bytes as they are", () => {
    const appended = appendJobRequestFields(received, fields);
    expect(Buffer.from(appended.subarray(0, received.length))).toEqual(Buffer.from(received));
    expect(requestOf(appended)).toMatchObject(merged);
    expect(decodePacket(appended)).toMatchObject({
      traceId: "t",
      senderId: "client",
      unknownFields: bytesOf("a006ac02"),
    });
  });

  it("drops the signature, which covers other bytes", () => {
    expect(decodePacket(received).signature.length).toBe(3);
    expect(decodePacket(appendJobRequestFields(received, {})).signature.length).toBe(0);
  });

  it("replaces the envelope where told, zeros of the time included", () => {
    const appended = appendJobRequestFields(
      received,
      {},
      { senderId: "cordum-scheduler", createdAt: { seconds: 9, nanos: 0 } },
    );
    expect(decodePacket(appended)).toMatchObject({
      traceId: "t",
      senderId: "cordum-scheduler",
      createdAt: { seconds: 9, nanos: 0 },
    });
  });

  it("changes nothing with empty fields", () => {
    expect(requestOf(appendJobRequestFields(received, {}))).toEqual(requestOf(received));
  });

  it("can be repeated", () => {
    const twice = appendJobRequestFields(appendJobRequestFields(received, fields), { env: { change: "newer" } });
    expect(requestOf(twice)).toMatchObject({ ...merged, env: { ...merged.env, change: "newer" } });
  });
});

describe("wrapJobRequest", () => {
  it("builds a packet around the request's bytes", () => {
    const envelope = { traceId: "t2", senderId: "cordum-scheduler", protocolVersion: 1, createdAt: { seconds: 9 } };
    const packet = decodePacket(wrapJobRequest(request, envelope, fields));
    expect(packet).toMatchObject({ traceId: "t2", senderId: "cordum-scheduler", protocolVersion: 1 });
    expect(packet.payload).toMatchObject({ kind: "jobRequest", value: merged });
    expect(wrapJobRequest(request, envelope)).toEqual(
      encodePacket({ ...envelope, payload: { kind: "jobRequest", value: decodeJobRequest(request) } }),
    );
  });

  it("takes a request larger than its buffer, and is usable after a fault", () => {
    const large = encodeJobRequest({ jobId: "j", env: { big: "x".repeat(3_000_000) } });
    expect(Buffer.compare(jobRequestBytes(wrapJobRequest(large, {})) ?? request, large)).toBe(0);
    expect(() => wrapJobRequest(request, {}, { stepIndex: 0.5 })).toThrow("bad_value");
    expect(requestOf(wrapJobRequest(request, {}))).toEqual(decodeJobRequest(request));
  });
});

describe("jobRequestBytes", () => {
  it("gives back the very bytes, unknown fields included", () => {
    expect(Buffer.from(jobRequestBytes(received) ?? [])).toEqual(Buffer.from(request));
  });

  it("joins a request that came in pieces", () => {
    const joined = jobRequestBytes(appendJobRequestFields(received, fields)) ?? new Uint8Array(0);
    expect(decodeJobRequest(joined)).toMatchObject(merged);
  });

  it.each([
    ["another payload", "5a030a016a", undefined],
    ["no payload", "0a0174", undefined],
    ["a payload of a later release", "ba01030a0178", undefined],
    ["a request replaced by a result", "52030a016a5a00", undefined],
    ["a request, a result, a request: only the last part", "52050a036f6e655a00520712056a6f622e78", "12056a6f622e78"],
    ["an empty request", "5200", ""],
    ["a request as a number", "5005", undefined],
  ])("finds in %s", (_, hex, expected) => {
    const found = jobRequestBytes(bytesOf(hex));
    expect(found === undefined ? undefined : Buffer.from(found).toString("hex")).toBe(expected);
  });

  it("refuses what is no packet", () => {
    expect(() => jobRequestBytes(bytesOf("52ff"))).toThrow("truncated");
  });
});
