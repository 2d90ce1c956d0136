// Signed packets through the bus: who is heard in which mode, what goes out, what is said about refusals.

import {
  appendJobRequestFields,
  type BusPacket,
  decodePacket,
  encode,
  encodeJobRequest,
  encodePacket,
  type Init,
  parseVerifyingKey,
  SENDERS,
  SUBJECTS,
  timestampOf,
  verifyPacket,
  BusPacket as Wire,
  wrapJobRequest,
} from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { busConformance, never } from "../../conformance/bus-conformance.ts";
import { onVirtualTime } from "../../conformance/bus-scene.ts";
import { openSignedStage } from "../../testing/signed-stage.ts";
import { newKeys } from "../../testing/signing-keys.ts";
import type { VerifyMode } from "./signed-bus.ts";

const AT = 1_893_456_000_000;
const createdAt = timestampOf(AT);
const plane = newKeys();
const ann = newKeys();
const annNext = newKeys();
const ben = newKeys();
const trusted = { ann: [ann.publicPem, annNext.publicPem], ben: [ben.publicPem], old: "unsigned" } as const;

const result = (senderId: string, workerId = senderId): Init<BusPacket> => ({
  senderId,
  createdAt,
  protocolVersion: 1,
  payload: { kind: "jobResult", value: { jobId: "j", status: 5, workerId } },
});

function tampered(bytes: Uint8Array): Uint8Array {
  const packet = decodePacket(bytes);
  return encodePacket({ ...packet, payload: { kind: "jobResult", value: { jobId: "k", status: 5, workerId: "ann" } } });
}

interface Row {
  readonly what: string;
  readonly bytes: Uint8Array;
  /** Undefined: nothing to object to. */
  readonly reason: string | undefined;
  /** With `if_present`. */
  readonly passesIfPresent: boolean;
}
const ROWS: readonly Row[] = [
  { what: "a valid one", bytes: ann.sign(result("ann")), reason: undefined, passesIfPresent: true },
  { what: "the next key of a sender", bytes: annNext.sign(result("ann")), reason: undefined, passesIfPresent: true },
  {
    what: "an end that we announce",
    bytes: plane.sign(result(SENDERS.scheduler, "ann")),
    reason: undefined,
    passesIfPresent: true,
  },
  { what: "one who cannot sign", bytes: encodePacket(result("old")), reason: undefined, passesIfPresent: true },
  { what: "an unsigned one", bytes: encodePacket(result("ann")), reason: "missing", passesIfPresent: true },
  {
    what: "an unsigned one in our name",
    bytes: encodePacket(result(SENDERS.scheduler)),
    reason: "missing",
    passesIfPresent: true,
  },
  {
    what: "an emptied signature",
    bytes: Buffer.concat([encodePacket(result("ann")), Uint8Array.of(0x72, 0)]),
    reason: "missing",
    passesIfPresent: true,
  },
  { what: "a tampered one", bytes: tampered(ann.sign(result("ann"))), reason: "invalid", passesIfPresent: false },
  { what: "a foreign key", bytes: ben.sign(result("ann")), reason: "invalid", passesIfPresent: false },
  {
    what: "a worker in our name",
    bytes: ann.sign(result(SENDERS.scheduler, "ann")),
    reason: "invalid",
    passesIfPresent: false,
  },
  { what: "an unknown sender", bytes: newKeys().sign(result("eve")), reason: "unknown_sender", passesIfPresent: false },
  { what: "a sender without name", bytes: ann.sign(result("")), reason: "unknown_sender", passesIfPresent: false },
  { what: "a name of Object", bytes: ann.sign(result("__proto__")), reason: "unknown_sender", passesIfPresent: false },
  {
    what: "a worker for another",
    bytes: ben.sign(result("ben", "ann")),
    reason: "sender_mismatch",
    passesIfPresent: false,
  },
  {
    what: "a worker for whoever has the job",
    bytes: ben.sign(result("ben", "")),
    reason: "sender_mismatch",
    passesIfPresent: false,
  },
  {
    what: "a signature that nobody can check",
    bytes: ben.sign(result("old", "ann")),
    reason: "sender_mismatch",
    passesIfPresent: false,
  },
  { what: "no packet", bytes: Uint8Array.of(0x72, 0xff), reason: "malformed", passesIfPresent: false },
];

const passes: { readonly [mode in VerifyMode]: (row: Row) => boolean } = {
  off: () => true,
  warn: () => true,
  if_present: (row) => row.passesIfPresent,
  require: (row) => row.reason === undefined,
};

describe.each(["off", "warn", "if_present", "require"] as const)("verification %s", (verify) => {
  it.each(ROWS.map((row) => [row.what, row] as const))("judges %s", async (_, row) => {
    const stage = openSignedStage({ verify, trusted, signingPem: plane.pem });
    expect(await stage.isHeard(SUBJECTS.jobResult, row.bytes)).toBe(passes[verify](row));
    const isCounted = row.reason !== undefined && (verify === "warn" || !passes[verify](row));
    const name = `cordum_scheduler_signature_refused_total ${row.reason}`;
    expect([...stage.counts]).toEqual(isCounted ? [[name, 1]] : []);
    expect(stage.sent.filter(({ subject }) => subject === SUBJECTS.alert)).toHaveLength(passes[verify](row) ? 0 : 1);
  });
});

describe("what is judged", () => {
  const about = (payload: NonNullable<Init<BusPacket>["payload"]>): Uint8Array =>
    ben.sign({ senderId: "ben", createdAt, payload });
  const stage = () => openSignedStage({ verify: "require", trusted, signingPem: plane.pem });

  it.each([
    [SUBJECTS.heartbeat, about({ kind: "heartbeat", value: { workerId: "ann" } })],
    [SUBJECTS.handshake, about({ kind: "handshake", value: { componentId: "ann" } })],
    [SUBJECTS.jobResult, about({ kind: "jobResult", value: { workerId: "ann" } })],
  ] as const)("lets no worker speak for another on %s", async (subject, bytes) => {
    const { isHeard, counts } = stage();
    expect(await isHeard(subject, bytes)).toBe(false);
    expect([...counts.keys()]).toEqual(["cordum_scheduler_signature_refused_total sender_mismatch"]);
  });

  it("lets a gateway speak for the workers that are connected to it", async () => {
    const gateways = { ...trusted, [SENDERS.gateway]: [plane.publicPem] };
    const said = (payload: NonNullable<Init<BusPacket>["payload"]>): Uint8Array =>
      plane.sign({ senderId: SENDERS.gateway, createdAt, payload });
    const { isHeard } = openSignedStage({ verify: "require", trusted: gateways, signingPem: plane.pem });
    expect(await isHeard(SUBJECTS.heartbeat, said({ kind: "heartbeat", value: { workerId: "acme.w1" } }))).toBe(true);
    expect(await isHeard(SUBJECTS.handshake, said({ kind: "handshake", value: { componentId: "acme.w1" } }))).toBe(
      true,
    );
    expect(await isHeard(SUBJECTS.jobResult, said({ kind: "jobResult", value: { workerId: "acme.w1" } }))).toBe(true);
  });

  it.each([SUBJECTS.jobSubmit, SUBJECTS.jobProgress, SUBJECTS.jobCancel, SUBJECTS.heartbeat, SUBJECTS.handshake])(
    "wants a signature on %s",
    async (subject) => {
      const unsigned = encodePacket({
        senderId: "ben",
        createdAt,
        payload: { kind: "jobCancel", value: { jobId: "j" } },
      });
      expect(await stage().isHeard(subject, unsigned)).toBe(false);
      expect(await stage().isHeard(subject, about({ kind: "jobCancel", value: { jobId: "j" } }))).toBe(true);
    },
  );

  it("judges packets of a wider subscription, and leaves alone what is no packet", async () => {
    const { bus, wire, quiet } = stage();
    const heard: string[] = [];
    await bus.subscribe({ subject: "sys.>", keep: false, inFlightMax: 1 }, async (_, { subject }) => {
      heard.push(subject);
      return { kind: "ack" };
    });
    for (const subject of [SUBJECTS.jobCancel, SUBJECTS.heartbeat, SUBJECTS.auditExport])
      await wire.publish(subject, Uint8Array.of(1), never);
    await quiet();
    expect(heard).toEqual([SUBJECTS.auditExport, SUBJECTS.alert, SUBJECTS.alert]);
    expect(await stage().isHeard("cordum.placer", Uint8Array.of(1))).toBe(true);
  });

  it.each([SUBJECTS.jobResult, SUBJECTS.jobCancel])(
    "judges what is overheard on %s too, and tells of it once",
    async (subject) => {
      const { bus, wire, quiet, counts, sent } = stage();
      const heard: string[] = [];
      const listen = (name: string, group: { readonly group?: string }) =>
        bus.subscribe({ subject, keep: false, inFlightMax: 1, ...group }, async () => {
          heard.push(name);
          return { kind: "ack" };
        });
      await listen("overhears", {});
      await listen("handles", { group: "g" });
      await wire.publish(subject, encodePacket(result("ann")), never);
      await quiet();
      expect([heard, [...counts.values()], sent.length]).toEqual([[], [1], 2]);
      await wire.publish(subject, ann.sign(result("ann")), never);
      await quiet();
      expect(heard.toSorted()).toEqual(["handles", "overhears"]);
    },
  );

  const minute = 60_000;
  const day = 86_400_000;
  it.each<[string, string, number | undefined, boolean]>([
    ["a heartbeat of now", SUBJECTS.heartbeat, 0, true],
    ["a heartbeat of a clock that is slow", SUBJECTS.heartbeat, -5 * minute, true],
    ["a heartbeat that was recorded", SUBJECTS.heartbeat, -6 * minute, false],
    ["a heartbeat of the future", SUBJECTS.heartbeat, 6 * minute, false],
    ["a heartbeat without time", SUBJECTS.heartbeat, undefined, true],
    ["a cancel that was recorded", SUBJECTS.jobCancel, -6 * minute, false],
    ["a submit that waited for a day", SUBJECTS.jobSubmit, -day, true],
    ["a submit that is older than records", SUBJECTS.jobSubmit, -8 * day, false],
    ["a submit of the future", SUBJECTS.jobSubmit, 6 * minute, false],
    ["a submit without time", SUBJECTS.jobSubmit, undefined, false],
    ["a result that waited for long", SUBJECTS.jobResult, -30 * day, true],
    ["a time that is none", SUBJECTS.heartbeat, -4e15, false],
  ])("J3 knows the age of %s", async (_, subject, ageMs, isHeard) => {
    const at = ageMs === undefined ? {} : { createdAt: timestampOf(AT + ageMs) };
    const bytes = ann.sign({ senderId: "ann", ...at, payload: { kind: "jobCancel", value: { jobId: "j" } } });
    const { isHeard: hears, counts } = stage();
    expect(await hears(subject, bytes)).toBe(isHeard);
    expect([...counts.keys()]).toEqual(isHeard ? [] : ["cordum_scheduler_signature_refused_total stale"]);
  });
});

it("J3 does not hold against a packet that we put it off", async () => {
  const { bus, wire, clock, quiet } = openSignedStage({ verify: "require", trusted });
  const deliveries: number[] = [];
  await bus.subscribe({ subject: SUBJECTS.jobCancel, keep: false, inFlightMax: 1 }, async (_, { delivery }) => {
    deliveries.push(delivery);
    return delivery === 1 ? { kind: "later", inMs: 3_600_000 } : { kind: "ack" };
  });
  await wire.publish(SUBJECTS.jobCancel, ann.sign(result("ann")), never);
  await quiet();
  await clock.advance(3_600_000);
  await quiet();
  expect(deliveries).toEqual([1, 2]);
});

describe("what goes out", () => {
  const parsed = parseVerifyingKey(plane.publicPem);
  if (parsed.kind === "refused") throw new Error(parsed.reason);
  const { key } = parsed;
  const unknownFields = Uint8Array.of(0xa0, 0x06, 0x01);

  it.each([...Object.values(SUBJECTS).slice(0, 9), "job.mail.send", "worker.w1.jobs", "worker.w1.cancel"])(
    "is signed on %s",
    async (subject) => {
      const { bus, sent } = openSignedStage({ verify: "off", signingPem: plane.pem });
      await bus.publish(subject, encodePacket(result("s")), never);
      await bus.deliver(subject, ann.sign(result("s")), never);
      expect(sent).toHaveLength(2);
      for (const { bytes } of sent) expect(verifyPacket(bytes, key)).toEqual({ kind: "verified", way: "received" });
    },
  );

  it("is what verifiers of other SDKs encode, whatever was appended to a request", async () => {
    const { bus, sent } = openSignedStage({ verify: "off", signingPem: plane.pem });
    const request = encodeJobRequest({ jobId: "j", topic: "job.x", env: { b: "1", a: "2" }, unknownFields });
    const appended = { env: { a: "3", c: "4" }, dispatch: { dispatchId: "d", attempt: 1 } };
    const dispatch = wrapJobRequest(request, { senderId: SENDERS.scheduler, protocolVersion: 1 }, appended);
    await bus.deliver("job.x", dispatch, never);
    await bus.deliver("job.x", appendJobRequestFields(dispatch, { labels: { z: "1" } }), never);
    expect(sent).toHaveLength(2);
    for (const { bytes } of sent) {
      const { signature, ...unsigned } = decodePacket(bytes);
      const again = Buffer.concat([encode(Wire, unsigned), encode(Wire, { signature })]);
      expect(Buffer.from(bytes).equals(again)).toBe(true);
      expect(unsigned.payload?.value).toMatchObject({ env: { a: "3", b: "1", c: "4" }, unknownFields });
    }
  });

  it("is left alone where it is no packet, or where there is no key", async () => {
    const { bus, sent } = openSignedStage({ verify: "off", signingPem: plane.pem });
    const news = Buffer.from("{}");
    for (const subject of ["cordum.placer", "cordum.event.job", SUBJECTS.trustChallenge])
      await bus.publish(subject, news, never);
    expect(sent.every(({ bytes }) => bytes === news)).toBe(true);
    const silent = openSignedStage({ verify: "off" });
    const packet = encodePacket(result("s"));
    await silent.bus.publish(SUBJECTS.jobResult, packet, never);
    expect(silent.sent[0]?.bytes).toBe(packet);
  });

  it("leaves room for the signature", async () => {
    const { bus, wire } = openSignedStage({ verify: "off", signingPem: plane.pem });
    const filled = (bytes: number): Uint8Array => encodePacket({ traceId: "x".repeat(bytes) });
    const room = bus.traits.packetBytesMax - (filled(1_000_000).byteLength - 1_000_000);
    await expect(bus.publish("job.x", filled(room), never)).resolves.toBeUndefined();
    await expect(bus.publish("job.x", filled(room + 1), never)).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
    expect(bus.traits).toEqual({ ...wire.traits, packetBytesMax: wire.traits.packetBytesMax - 80 });
  });
});

describe("refusals", () => {
  it("are said on sys.alert, signed, with who and where", async () => {
    const stage = openSignedStage({ verify: "require", trusted, signingPem: plane.pem });
    await stage.isHeard(SUBJECTS.jobResult, encodePacket(result("x".repeat(10_000))));
    await stage.isHeard(SUBJECTS.jobCancel, ben.sign(result("ann")));
    const alerts = stage.sent.filter(({ subject }) => subject === SUBJECTS.alert).map(({ bytes }) => bytes);
    expect(alerts.map((bytes) => decodePacket(bytes).payload?.value)).toMatchObject([
      { code: "PROTOCOL_SIGNATURE_MISSING", errorCodeEnum: 104, severity: 4, details: { reason: "missing" } },
      {
        code: "PROTOCOL_SIGNATURE_INVALID",
        errorCodeEnum: 103,
        level: "CRITICAL",
        sourceComponent: SENDERS.scheduler,
        details: { offending_sender: "ann", subject: SUBJECTS.jobCancel, reason: "invalid" },
      },
    ]);
    expect(alerts[0]?.byteLength).toBeLessThan(1_000);
    for (const bytes of alerts) expect(decodePacket(bytes).signature.length).toBeGreaterThan(60);
  });

  it("R1 are all counted, and said a bounded number of times", async () => {
    const stage = openSignedStage({ verify: "require", trusted });
    const refuse = () => stage.isHeard(SUBJECTS.jobResult, encodePacket(result("ann")));
    const alerts = () => stage.sent.filter(({ subject }) => subject === SUBJECTS.alert).length;
    for (let n = 0; n < 50; n++) await refuse();
    expect([...stage.counts.values()]).toEqual([50]);
    expect(alerts()).toBe(20);
    await stage.clock.advance(10_000);
    await refuse();
    expect(alerts()).toBe(21);
    expect(stage.said.findLast(({ event }) => event === "signature.refused")?.fields).toEqual({
      reason: "missing",
      senderId: "ann",
      subject: SUBJECTS.jobResult,
      untoldBefore: 30,
    });
  });

  it("R2 stay refusals when the alert cannot be published", async () => {
    const stage = openSignedStage({ verify: "require", trusted });
    const heard = stage.isHeard(SUBJECTS.jobResult, encodePacket(result("ann")));
    await stage.wire.drain(AbortSignal.abort());
    expect(await heard).toBe(false);
  });
});

busConformance("signed, in process, virtual time", async () => {
  const { bus, clock } = openSignedStage({ verify: "require", trusted, signingPem: plane.pem });
  return onVirtualTime(bus, clock);
});
