// Workers that mean harm, or are broken: whatever comes, their session ends with a code and a reason, or goes on, and nothing else happens.

import {
  directSubject,
  encodePacket,
  SESSION_CLOSE,
  SUBJECTS,
  type WorkerFrame,
  writeWorkerFrame,
} from "@cordum/protocol";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { openSessionScene, type SessionScene } from "../testing/session-scene.ts";
import { REFUSALS } from "./refusal-pace.ts";
import type { SessionSettings } from "./session-parts.ts";

let stage: SessionScene;
const open = async (limits: Partial<SessionSettings> = {}): Promise<void> => {
  stage = await openSessionScene({}, limits);
};
afterEach(() => stage[Symbol.asyncDispose]());

const NOTHING = new Uint8Array();
const CODES: readonly number[] = Object.values(SESSION_CLOSE);
const load = (id: number): WorkerFrame => ({ kind: "load", id, key: "ctx:x" });

describe("the order of frames", () => {
  it.each<[string, readonly WorkerFrame[], number, string]>([
    ["a request first", [load(1)], SESSION_CLOSE.BAD_HELLO, "the first frame is a hello"],
    ["took first", [{ kind: "took", id: 1 }], SESSION_CLOSE.BAD_HELLO, "the first frame is a hello"],
    [
      "another version",
      [{ kind: "hello", workerId: "w", version: 2, window: 1 }],
      SESSION_CLOSE.BAD_HELLO,
      "version 1",
    ],
    ["an id with a dot", [{ kind: "hello", workerId: "a.b", version: 1, window: 1 }], SESSION_CLOSE.BAD_HELLO, "id"],
    ["no id", [{ kind: "hello", workerId: "", version: 1, window: 1 }], SESSION_CLOSE.BAD_HELLO, "id"],
    [
      "two hellos",
      [1, 2].map(() => ({ kind: "hello", workerId: "w", version: 1, window: 1 })),
      SESSION_CLOSE.BAD_FRAME,
      "there is one hello",
    ],
    [
      "took of no delivery",
      [
        { kind: "hello", workerId: "w", version: 1, window: 1 },
        { kind: "took", id: 9 },
      ],
      SESSION_CLOSE.BAD_FRAME,
      "took answers a delivery",
    ],
    [
      "an id twice",
      [{ kind: "hello", workerId: "w", version: 1, window: 1 }, load(1), load(1)],
      SESSION_CLOSE.BAD_FRAME,
      "a request under way",
    ],
  ])("%s", async (_what, frames, code, reason) => {
    await open();
    const worker = stage.connect();
    for (const frame of frames) worker.say(frame);
    await stage.scene.quiet();
    expect(worker.closedWith).toMatchObject({ code, reason: expect.stringContaining(reason) });
    expect(stage.sessions.size).toBe(0);
  });

  it("begins within ten seconds", async () => {
    await open();
    const [silent, polite] = [stage.connect(), stage.connect({ id: "w2" })];
    polite.hello();
    await stage.scene.pass(10_100);
    expect(silent.closedWith).toMatchObject({ code: SESSION_CLOSE.SILENT });
    expect(polite.closedWith).toBeUndefined();
  });

  it("goes on after what is refused", async () => {
    await open();
    const worker = await stage.worker();
    const packet = encodePacket({ payload: { kind: "jobCancel", value: { jobId: "x" } } });
    for (const subject of [SUBJECTS.jobSubmit, SUBJECTS.jobCancel, "worker.w2.jobs", "sys.>", ">", "cordum.placer"])
      expect(await worker.ask({ kind: "publish", subject, packet })).toMatchObject({ code: "SUBJECT_FORBIDDEN" });
    for (const subject of [
      ">",
      "sys.heartbeat",
      directSubject("w2"),
      directSubject("other.w1"),
      "worker.*.jobs",
      "job.>",
    ])
      expect(await worker.ask({ kind: "subscribe", subject })).toMatchObject({ code: "SUBJECT_FORBIDDEN" });
    for (const subject of [SUBJECTS.heartbeat, SUBJECTS.handshake, SUBJECTS.jobProgress, SUBJECTS.jobResult]) {
      expect(await worker.ask({ kind: "publish", subject, packet })).toMatchObject({ code: "PACKET_UNEXPECTED" });
      const junk = Uint8Array.of(0xff, 0xff, 0xff);
      expect(await worker.ask({ kind: "publish", subject, packet: junk })).toMatchObject({ code: "PACKET_MALFORMED" });
    }
    expect(worker.closedWith).toBeUndefined();
    expect(stage.scene.sent(SUBJECTS.jobCancel, "jobCancel")).toEqual([]);
  });
});

describe("too much", () => {
  it("of requests at once ends the session, not the process", async () => {
    await open({ requestsMax: 10 });
    const worker = await stage.worker({ isStuck: true });
    for (let id = 100; id < 111; id++) worker.say(load(id));
    expect(worker.closedWith).toMatchObject({ code: SESSION_CLOSE.TOO_MUCH });
  });

  it("of bytes in them does, too", async () => {
    await open({ requestBytesMax: 1_000 });
    const worker = stage.connect();
    worker.hello();
    const store = (id: number, bytes: number): WorkerFrame => {
      return { kind: "store", id, key: "res:x", ttlMs: 1, bytes: new Uint8Array(bytes) };
    };
    worker.say(store(1, 700));
    expect(worker.closedWith).toBeUndefined();
    worker.say(store(2, 700));
    expect(worker.closedWith).toMatchObject({ code: SESSION_CLOSE.TOO_MUCH });
  });

  it("of payloads is not loaded for a worker that reads nothing: two at a time lie in memory", async () => {
    await open();
    let loads = 0;
    const worker = await stage.worker();
    const { jobId } = await stage.scene.submit();
    await stage.scene.quiet();
    const { payloads } = stage.scene;
    const { get } = payloads;
    payloads.get = (key, signal) => {
      loads++;
      return get.call(payloads, key, signal);
    };
    worker.send = () => new Promise(() => undefined);
    for (let id = 1_000; id < 1_100; id++) worker.say({ kind: "load", id, key: `ctx:${jobId}` });
    await stage.scene.quiet();
    expect(loads).toBe(2);
    expect(worker.closedWith).toBeUndefined();
  });

  it("of presence is put off", async () => {
    await open();
    const worker = await stage.worker();
    const answers = [];
    for (let n = 0; n < 40; n++) answers.push(await worker.beat());
    expect(answers.filter((answer) => answer?.kind === "done").length).toBeLessThan(25);
    expect(answers.at(-1)).toMatchObject({ kind: "refused", code: "RATE_LIMITED", isFinal: false });
    expect(await worker.beat({ labels: { long: "x".repeat(20_000) } })).toMatchObject({ code: "PACKET_TOO_LARGE" });
    await stage.scene.pass(10_000);
    expect(await worker.beat()).toMatchObject({ kind: "done" });
  });

  it("of what it may not have is answered at a pace, for all workers of its tenant together (F1 to F3)", async () => {
    await open();
    const workers = await Promise.all(["w1", "w2"].map((id) => stage.worker({ id })));
    const other = await stage.worker({ tenant: "other" });
    const refusals = () => workers.flatMap(({ frames }) => frames).filter(({ kind }) => kind === "refused").length;
    for (let round = 0; round < 10; round++) {
      for (const worker of workers)
        for (let n = 0; n < 100; n++) worker.say({ kind: "load", id: 10_000 + round * 100 + n, key: "ctx:x" });
      await stage.scene.clock.advance(0);
    }
    expect(refusals()).toBe(REFUSALS.burst);
    const { said } = stage.scene;
    const lines = said.length;
    for (const worker of workers)
      for (let n = 0; n < 100; n++) worker.say({ kind: "publish", id: 20_000 + n, subject: ">", packet: NOTHING });
    await stage.scene.clock.advance(1_000);
    expect(refusals()).toBe(REFUSALS.burst + REFUSALS.perSecond);
    expect(said.length - lines).toBeLessThanOrEqual(200);
    expect(await other.ask({ kind: "load", key: "ctx:x" })).toMatchObject({ code: "PAYLOAD_FORBIDDEN" });
    await stage.scene.clock.advance(10_000);
    expect(refusals()).toBe(REFUSALS.burst + 200);
    expect(workers.map(({ closedWith }) => closedWith)).toEqual([undefined, undefined]);
  });

  it("of capacity is not believed", async () => {
    await open();
    await stage.worker({ capacity: 2_000_000_000 });
    const now = stage.scene.clock.now();
    expect(stage.scene.parts.registry.find("acme.w1", now)?.heartbeat.capacity).toBe(1_000);
  });

  it("of topics is refused", async () => {
    await open();
    const worker = await stage.worker({ subjects: Array.from({ length: 256 }, (_, n) => `job.t${n}`) });
    expect(await worker.ask({ kind: "subscribe", subject: "job.more" })).toMatchObject({ code: "TOPICS_LIMIT" });
    expect(await worker.ask({ kind: "subscribe", subject: "job.t1" })).toMatchObject({ kind: "done" });
  });

  it("of sessions is refused, for one tenant before all", async () => {
    await open({ sessionsMax: 3, sessionsOfTenantMax: 2 });
    const workers = ["a", "b", "c"].map((id) => stage.connect({ id }));
    expect(workers.map(({ closedWith }) => closedWith?.code)).toEqual([undefined, undefined, SESSION_CLOSE.FULL]);
    expect(stage.connect({ tenant: "other" }).closedWith).toBeUndefined();
    expect(stage.connect({ tenant: "third" }).closedWith).toMatchObject({ code: SESSION_CLOSE.FULL });
    await workers[0]?.vanish();
    expect(stage.connect({ tenant: "third" }).closedWith).toBeUndefined();
  });
});

describe("any bytes", () => {
  const frame = fc.oneof(
    { weight: 2, arbitrary: fc.uint8Array({ maxLength: 80 }) },
    {
      weight: 3,
      arbitrary: fc
        .record({
          kind: fc.constantFrom("publish" as const, "load" as const, "store" as const, "subscribe" as const),
          id: fc.integer({ min: 1, max: 5_000_000 }),
          name: fc.constantFrom("sys.heartbeat", "sys.job.result", "sys.handshake", "ctx:a", "res:a", "job.echo", ">"),
          body: fc.uint8Array({ maxLength: 60 }),
        })
        .map(({ kind, id, name, body }) =>
          writeWorkerFrame(
            kind === "publish"
              ? { kind, id, subject: name, packet: body }
              : kind === "store"
                ? { kind, id, key: name, ttlMs: 1, bytes: body }
                : kind === "load"
                  ? { kind, id, key: name }
                  : { kind, id, subject: name },
          ),
        ),
    },
  );

  it("end in a close code with a reason, or in answers", async () => {
    await open();
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 12 }), fc.boolean(), async (frames, greets) => {
        const worker = stage.connect();
        if (greets) worker.hello();
        for (const bytes of frames) worker.raw(bytes);
        await stage.scene.clock.advance(0);
        if (worker.closedWith === undefined) await worker.vanish();
        else {
          expect(CODES).toContain(worker.closedWith.code);
          expect(worker.closedWith.reason).not.toBe("");
          expect(Buffer.byteLength(worker.closedWith.reason)).toBeLessThanOrEqual(123); // RFC 6455, 5.5
        }
        expect(stage.sessions.size).toBe(0);
      }),
      { numRuns: 300 },
    );
    expect(stage.scene.said.filter(({ level }) => level === "error")).toEqual([]);
  });
});
