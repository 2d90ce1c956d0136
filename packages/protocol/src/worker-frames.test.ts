import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  FRAME_ID_MAX,
  FRAME_NAME_BYTES_MAX,
  type GatewayFrame,
  readGatewayFrame,
  readWorkerFrame,
  SESSION_CLOSE,
  type WorkerFrame,
  writeGatewayFrame,
  writeWorkerFrame,
} from "./worker-frames.ts";

const bytes = fc.uint8Array({ maxLength: 300 });
const id = fc.integer({ min: 1, max: FRAME_ID_MAX });
const name = fc.string({ minLength: 1, maxLength: 200, unit: "grapheme" });
const whole = fc.integer({ min: 1, max: 2 ** 40 });

const workerFrame: fc.Arbitrary<WorkerFrame> = fc.oneof(
  fc.record({ kind: fc.constant("hello" as const), workerId: name, version: whole, window: whole }),
  fc.record({ kind: fc.constantFrom("subscribe" as const, "unsubscribe" as const), id, subject: name }),
  fc.record({ kind: fc.constant("publish" as const), id, subject: name, packet: bytes }),
  fc.record({ kind: fc.constant("load" as const), id, key: name }),
  fc.record({
    kind: fc.constant("store" as const),
    id,
    key: name,
    ttlMs: fc.integer({ min: 0, max: FRAME_ID_MAX }),
    bytes,
  }),
  fc.record({ kind: fc.constant("took" as const), id }),
);
const limits = fc.record({
  window: whole,
  requestsMax: whole,
  requestBytesMax: whole,
  packetBytesMax: whole,
  payloadBytesMax: whole,
});
const gatewayFrame: fc.Arbitrary<GatewayFrame> = fc.oneof(
  fc.record({
    kind: fc.constant("welcome" as const),
    workerId: name,
    version: whole,
    tenant: name,
    session: name,
    limits,
  }),
  fc.record({ kind: fc.constant("deliver" as const), id, subject: name, packet: bytes }),
  fc.record({ kind: fc.constant("done" as const), id, bytes }),
  fc.record({ kind: fc.constant("missing" as const), id }),
  fc.record({ kind: fc.constant("refused" as const), id, code: name, isFinal: fc.boolean(), reason: name }),
  fc.record({ kind: fc.constant("goodbye" as const), reason: name }),
);

describe("worker frames", () => {
  it("come out as they went in, from any place in a larger buffer (A1, A3)", () => {
    fc.assert(
      fc.property(workerFrame, fc.nat(20), (frame, at) => {
        const written = writeWorkerFrame(frame);
        const larger = new Uint8Array(written.length + 40).fill(0xff);
        larger.set(written, at);
        expect(readWorkerFrame(larger.subarray(at, at + written.length))).toEqual({ kind: "frame", frame });
      }),
    );
    fc.assert(
      fc.property(gatewayFrame, (frame) => {
        expect(readGatewayFrame(writeGatewayFrame(frame))).toEqual({ kind: "frame", frame });
      }),
    );
  });

  it("are read without an exception, whatever the bytes (A1)", () => {
    const kinds = fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18, 19, 20, 21, 255);
    const almost = fc
      .tuple(kinds, fc.nat(2), fc.nat(30), fc.uint8Array({ maxLength: 60 }))
      .map(([kind, last, nameBytes, rest]) => Uint8Array.from([kind, 0, 0, 0, last, 0, nameBytes, ...rest]));
    fc.assert(
      fc.property(fc.oneof(bytes, almost), (message) => {
        for (const read of [readWorkerFrame(message), readGatewayFrame(message)])
          expect(["frame", "malformed"]).toContain(read.kind);
      }),
      { numRuns: 2_000 },
    );
  });

  it("are cut or changed at any byte without more than a reason", () => {
    fc.assert(
      fc.property(workerFrame, fc.nat(), fc.nat(255), (frame, at, by) => {
        const written = writeWorkerFrame(frame);
        expect(["frame", "malformed"]).toContain(readWorkerFrame(written.subarray(0, at % written.length)).kind);
        written[at % written.length] = by;
        expect(["frame", "malformed"]).toContain(readWorkerFrame(written).kind);
      }),
    );
  });

  it.each([
    ["too short", [1, 0, 0]],
    ["a name that is longer than the frame", [4, 0, 0, 0, 1, 0, 9, 97]],
    ["a name that is too long", [4, 0, 0, 0, 1, 0xff, 0xff]],
    ["a name that is no UTF-8", [5, 0, 0, 0, 1, 0, 1, 0xff]],
    ["a request without id", [5, 0, 0, 0, 0, 0, 1, 97]],
    ["a request without name", [5, 0, 0, 0, 1, 0, 0]],
    ["a load with a body", [5, 0, 0, 0, 1, 0, 1, 97, 1]],
    ["a store without a time to live", [6, 0, 0, 0, 1, 0, 1, 97, 1, 1]],
    ["a gateway's frame", [17, 0, 0, 0, 1, 0, 1, 97]],
    ["a hello that is no JSON", [1, 0, 0, 0, 0, 0, 1, 97, 123]],
    ["a hello whose JSON is a list", [1, 0, 0, 0, 0, 0, 1, 97, 91, 93]],
    ["took without id", [7, 0, 0, 0, 0, 0, 0]],
  ])("are refused: %s", (_what, message) => {
    expect(readWorkerFrame(Uint8Array.from(message))).toMatchObject({ kind: "malformed" });
  });

  it("hold names of up to their limit", () => {
    const key = "k".repeat(FRAME_NAME_BYTES_MAX);
    expect(readWorkerFrame(writeWorkerFrame({ kind: "load", id: 1, key }))).toMatchObject({ frame: { key } });
    expect(readWorkerFrame(writeWorkerFrame({ kind: "load", id: 1, key: `${key}k` }))).toMatchObject({
      reason: `a name has at most ${FRAME_NAME_BYTES_MAX} bytes`,
    });
  });

  it("keep a time to live within its field", () => {
    const store = (ttlMs: number) =>
      readWorkerFrame(writeWorkerFrame({ kind: "store", id: 1, key: "k", ttlMs, bytes: new Uint8Array(2) }));
    expect(store(1e12)).toMatchObject({ frame: { ttlMs: FRAME_ID_MAX } });
    expect(store(-5)).toMatchObject({ frame: { ttlMs: 0 } });
  });

  it("cut a reason that is too long, between characters", () => {
    const read = readGatewayFrame(writeGatewayFrame({ kind: "goodbye", reason: "ü".repeat(2_000) }));
    expect(read).toMatchObject({ kind: "frame", frame: { reason: "ü".repeat(256) } });
  });

  it("take no property from a prototype", () => {
    const body = new TextEncoder().encode('{"__proto__":{"version":1,"window":1}}');
    const hello = Uint8Array.from([1, 0, 0, 0, 0, 0, 1, 97, ...body]);
    expect(readWorkerFrame(hello)).toMatchObject({ kind: "malformed" });
  });
});

describe("the page about frames", () => {
  const page = readFileSync(new URL("../../../docs/reference/worker-frames.md", import.meta.url), "utf8");
  const rows = (pattern: RegExp) => [...page.matchAll(pattern)].map(([, number, name]) => `${number} ${name}`);

  it("tells the kinds and the close codes as they are", () => {
    const frames = fc.sample(workerFrame, 500).map((frame) => `${writeWorkerFrame(frame)[0]} ${frame.kind}`);
    const answers = fc.sample(gatewayFrame, 500).map((frame) => `${writeGatewayFrame(frame)[0]} ${frame.kind}`);
    expect(rows(/^\| (\d+) \| `(\w+)` \|/gm).toSorted()).toEqual([...new Set([...frames, ...answers])].toSorted());
    const codes = [...page.matchAll(/^\| ([14]\d{3}) \|/gm)].map(([, code]) => Number(code));
    expect(codes).toEqual(Object.values(SESSION_CLOSE).toSorted((a, b) => a - b));
  });

  it("shows bytes that are frames", () => {
    const [hello, took] = (/```hex\n([^`]*)```/.exec(page)?.[1] ?? "").trim().split("\n");
    const read = (line = "") => readWorkerFrame(new Uint8Array(Buffer.from(line.replaceAll(" ", ""), "hex")));
    expect(read(hello)).toEqual({ kind: "frame", frame: { kind: "hello", workerId: "w1", version: 1, window: 64 } });
    expect(read(took)).toEqual({ kind: "frame", frame: { kind: "took", id: 7 } });
  });
});
