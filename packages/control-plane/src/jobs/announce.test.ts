import { afterEach, describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { withSending } from "../testing/scene-ports.ts";
import { JOB_NEWS_SUBJECT, parseNews } from "./announce.ts";

let scene: JobScene;
afterEach(() => scene.settle());

describe("news", () => {
  it("tell every step of a job once it is written, many in one packet", async () => {
    scene = await openJobScene();
    const packets: Uint8Array[] = [];
    await scene.bus.subscribe({ subject: JOB_NEWS_SUBJECT, keep: false, inFlightMax: 1 }, async (bytes) => {
      packets.push(bytes);
      return { kind: "ack" };
    });
    const submitted = await Promise.all(Array.from({ length: 150 }, () => scene.submit({ topic: "job.ask" })));
    await scene.quiet();
    const news = packets.flatMap(parseNews);
    expect(news.map(({ id }) => id).sort()).toEqual(submitted.map(({ jobId }) => jobId).sort());
    expect(new Set(news.map(({ tenant }) => tenant))).toEqual(new Set(["acme"]));
    expect(packets.length).toBeLessThan(50);
    expect(JSON.parse(Buffer.from(packets[0] ?? "").toString()).news[0]).toMatchObject({
      tenant: "acme",
      topic: "job.ask",
      state: "APPROVAL_REQUIRED",
      why: "ask",
      percent: 0,
    });
  });

  it("are dropped with a word while the bus is away, and hold up nobody", async () => {
    let isAway = true;
    scene = await openJobScene({
      bus: (real) =>
        withSending(real, {
          publish: async (...call) => {
            if (isAway && call[0] === JOB_NEWS_SUBJECT) throw new Fault("BUS_UNAVAILABLE", "away");
            return real.publish(...call);
          },
        }),
    });
    const { state } = await scene.submit({ topic: "job.ask" });
    expect(state).toBe("APPROVAL_REQUIRED");
    await scene.quiet();
    expect(scene.said.filter(({ event }) => event === "news.dropped")).toMatchObject([{ fields: { count: 1 } }]);
    isAway = false;
    await scene.submit({ topic: "job.ask" });
    await scene.parts.announcer.settled();
    expect(scene.said.filter(({ event }) => event === "news.dropped")).toHaveLength(1);
  });

  it.each([
    "",
    "{",
    "null",
    "[]",
    '{"news":1}',
    '{"news":[null,1,{"id":1},{"id":"a","tenant":"t","state":1,"topic":"t"},{"id":"a","state":"PENDING","topic":"t"}]}',
  ])("that are none are read as none: %s", async (text) => {
    scene = await openJobScene();
    expect(parseNews(Buffer.from(text))).toEqual([]);
    await scene.bus.publish(JOB_NEWS_SUBJECT, Buffer.from(text), NEVER);
    await scene.quiet();
    expect(scene.said.filter(({ level }) => level === "error")).toEqual([]);
  });
});
