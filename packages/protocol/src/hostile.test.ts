// Hostile bytes and hostile keys: what a stranger may send, and what it must not do.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BusPacket, JobRequest, Rule } from "./gen/agent.ts";
import { jobRequestBytes } from "./job-request-bytes.ts";
import { decodePacket, encodeJobRequest, encodePacket, PACKET_LIMITS, parsePacket } from "./packet.ts";
import { verifyProduction } from "./production-profile.ts";
import { parseVerifyingKey, verifyPacket } from "./signature.ts";
import { decode } from "./wire/decode.ts";
import { encode } from "./wire/encode.ts";
import { toProtoJson } from "./wire/json-write.ts";
import { WireError } from "./wire/wire-error.ts";

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
const sample = encodePacket({
  traceId: "trace",
  senderId: "sender",
  createdAt: { seconds: 1_767_225_600, nanos: 1 },
  protocolVersion: 1,
  signature: bytesOf("0102"),
  authToken: "token",
  payload: {
    kind: "jobRequest",
    value: {
      jobId: "job",
      topic: "job.x",
      env: { a: "1", "": "" },
      labels: { ключ: "значение" },
      budget: { deadlineMs: 2n ** 60n },
      meta: { riskTags: ["a"] },
      compensation: { env: { b: "2" } },
      unknownFields: bytesOf("c20c036e6577"),
    },
  },
});

/** Bytes that look like a packet more often than random ones do: records with small numbers, and mutations of a real packet. */
const hostileBytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc
    .array(
      fc.tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 7 }), fc.uint8Array({ maxLength: 12 })),
      { maxLength: 8 },
    )
    .map(
      (records) =>
        new Uint8Array(
          records.flatMap(([no, wire, rest]) => [((no * 8 + wire) % 128) as number, rest.length, ...rest]),
        ),
    ),
  fc
    .tuple(
      fc.array(fc.tuple(fc.nat(sample.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
      fc.nat(sample.length),
    )
    .map(([changes, length]) => {
      const bytes = new Uint8Array(sample);
      for (const [at, byte] of changes) bytes[at] = byte;
      return bytes.subarray(0, length);
    }),
);
const key = parseVerifyingKey(
  "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWLyYpPSYWwCGUmTKCvdJJRrwcMJM\nY+kfSZAikh9rN1d3YD9LEYpIEI24UBJQa2ewVMrMA1tXFyco6Vk+lhdvDw==\n-----END PUBLIC KEY-----\n",
);

describe("hostile bytes", () => {
  it("never throw anything but WireError, and what decodes encodes to the same message", () => {
    fc.assert(
      fc.property(hostileBytes, (bytes) => {
        const parsed = parsePacket(bytes);
        if (parsed.kind === "malformed") {
          expect(parsed.reason).not.toBe("bad_value");
          return;
        }
        const again = encodePacket(parsed.packet);
        expect(decodePacket(again)).toEqual(parsed.packet);
        expect(encodePacket(decodePacket(again))).toEqual(again);
        JSON.stringify(toProtoJson(BusPacket, parsed.packet));
        jobRequestBytes(bytes);
      }),
      { numRuns: 3000 },
    );
  });

  it("never make a verifier throw or agree", () => {
    if (key.kind !== "key") throw new Error("no key");
    const expected = { audience: "a", tenant: "t", now: 0, lifetimeMaxMs: 1, keyOf: () => key.key };
    fc.assert(
      fc.property(hostileBytes, (bytes) => {
        expect(verifyPacket(bytes, key.key).kind).toBe("refused");
        expect(verifyProduction(bytes, expected).kind).toBe("refused");
      }),
      { numRuns: 300 },
    );
  });

  it("are refused or a prefix of the message, cut anywhere", () => {
    for (let length = 0; length < sample.length; length++) parsePacket(sample.subarray(0, length));
    const payloadOnly = encodePacket({ payload: { kind: "jobRequest", value: { jobId: "job", topic: "job.x" } } });
    for (let length = 1; length < payloadOnly.length; length++) {
      expect(parsePacket(payloadOnly.subarray(0, length))).toMatchObject({ kind: "malformed", reason: "truncated" });
    }
  });

  it("are read inside a larger buffer without looking around", () => {
    const around = Buffer.concat([Buffer.alloc(5, 0xff), sample, Buffer.alloc(5, 0xff)]);
    expect(decodePacket(around.subarray(5, 5 + sample.length))).toEqual(decodePacket(sample));
  });
});

describe("limits", () => {
  const labels = (count: number): Record<string, string> =>
    Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, "v"]));
  const request = (value: object): Uint8Array => encodePacket({ payload: { kind: "jobRequest", value } });

  it.each([
    ["a map", { labels: labels(1000) }, { labels: labels(1001) }],
    ["a list", { meta: { riskTags: new Array(1000).fill("") } }, { meta: { riskTags: new Array(1001).fill("") } }],
    ["10,000 labels", { labels: labels(999), env: labels(999) }, { compensation: { labels: labels(10_000) } }],
  ])("bound the entries of %s", (_, allowed, refused) => {
    expect(parsePacket(request(allowed)).kind).toBe("packet");
    expect(parsePacket(request(refused))).toMatchObject({ kind: "malformed", reason: "too_many_entries" });
  });

  it("count a map's keys, not how often they were sent", () => {
    const entry = bytesOf("7a060a016b120176");
    const body = Buffer.concat(new Array(2000).fill(entry));
    expect(parsePacket(request({ unknownFields: body }))).toMatchObject({ kind: "packet" });
  });

  it("bound strings in bytes, keys and values of maps too", () => {
    const max = PACKET_LIMITS.stringBytesMax;
    expect(parsePacket(request({ jobId: "x".repeat(max) })).kind).toBe("packet");
    for (const value of [
      { jobId: "x".repeat(max + 1) },
      { env: { a: "é".repeat(max / 2 + 1) } },
      { env: { ["x".repeat(max + 1)]: "" } },
    ]) {
      expect(parsePacket(request(value))).toMatchObject({ kind: "malformed", reason: "string_too_long" });
    }
  });

  it("bound the packet", () => {
    expect(parsePacket(new Uint8Array(5_000_000))).toMatchObject({ kind: "malformed", reason: "packet_too_large" });
    expect(() => decodePacket(new Uint8Array(5_000_000))).toThrow(WireError);
  });

  it("let nothing cost more than its length: unknown fields alternating with known ones, payloads in many pieces", () => {
    const wide = { ...PACKET_LIMITS, bytesMax: 1 << 24 };
    const many = (hex: string): Uint8Array => Buffer.concat(new Array(500_000).fill(bytesOf(hex)));
    const alternating = parsePacket(many("a006010a0174"), wide); // minutes, were each piece joined to the ones before
    expect(alternating.kind === "packet" && alternating.packet.unknownFields?.length).toBe(1_500_000);
    const pieces = parsePacket(many("5205a006010a00"), wide);
    expect(pieces.kind === "packet" && encodePacket(pieces.packet).length).toBeGreaterThan(1_500_000);
    expect(parsePacket(many("520052005a00"), wide)).toMatchObject({
      kind: "packet",
      packet: { payload: { kind: "jobResult" } },
    });
    expect(jobRequestBytes(many("5203a00601"))?.length).toBe(1_500_000);
  });

  it("bound nesting: groups, and messages that contain themselves", () => {
    const groups = (levels: number): Uint8Array =>
      Buffer.concat([Buffer.alloc(levels, 0x3b), Buffer.alloc(levels, 0x3c)]);
    expect(parsePacket(groups(50)).kind).toBe("packet");
    expect(parsePacket(groups(100_000))).toMatchObject({ kind: "malformed", reason: "too_deep" });
    let value: object = { kind: { kind: "nullValue", value: 0 } };
    for (let level = 0; level < 200; level++) value = { kind: { kind: "listValue", value: { values: [value] } } };
    expect(() => decode(Rule, encode(Rule, { match: { fields: { deep: value } } }))).toThrow("too_deep");
  });
});

describe("hostile keys", () => {
  const names = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "0", "-1", ""];
  it("are keys like any other", () => {
    const env = Object.create(null) as Record<string, string>;
    for (const name of names) env[name] = `value of ${name}`;
    const decoded = decode(JobRequest, encodeJobRequest({ env }));
    expect(Object.getPrototypeOf(decoded.env)).toBe(null);
    expect(Object.keys(decoded.env).sort()).toEqual([...names].sort());
    for (const name of names) expect(decoded.env[name]).toBe(`value of ${name}`);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
    expect(decoded.labels.constructor).toBe(undefined);
  });

  it("stay keys in JSON", () => {
    const json = JSON.stringify(
      toProtoJson(JobRequest, decode(JobRequest, encodeJobRequest({ env: { ["__proto__"]: "x" } }))),
    );
    expect(json).toBe('{"env":{"__proto__":"x"}}');
  });

  it("do not leak into the maps that unset fields share", () => {
    decode(JobRequest, encodeJobRequest({ env: { a: "1" }, labels: { b: "2" } }));
    expect(decode(JobRequest, new Uint8Array(0))).toMatchObject({ env: {}, labels: {} });
  });
});
