import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { lostAnswerConformance } from "../../conformance/state-conformance.ts";
import { conformanceLayout, faultOf, never, put, Scene } from "../../conformance/state-scene.ts";
import { systemClock } from "../system/clock.ts";
import { openSqlite, startThread } from "./open-sqlite.ts";
import type { FromThread } from "./tape.ts";
import { ThreadLink, type ThreadPort } from "./thread-link.ts";

const clock = systemClock();

describe("sqlite: the disk fails", () => {
  it.each([
    ["undone", "STATE_UNAVAILABLE"],
    ["unknown", "STATE_OUTCOME_UNKNOWN"],
  ] as const)("K2: a group that is %s ends as %s, and says nothing of the inside", async (outcome, code) => {
    let answer: (message: FromThread) => void = () => undefined;
    const port: ThreadPort = {
      post(message) {
        if (message.kind === "group")
          answer({ kind: "failed", group: message.group, outcome, detail: "disk I/O error" });
      },
      listen(on) {
        answer = on.message;
      },
      terminate: async () => undefined,
    };
    const link = new ThreadLink(port, clock, { timeoutMs: 100, waitingMax: 10 });
    const faults = { unsent: "STATE_UNAVAILABLE", unanswered: "STATE_OUTCOME_UNKNOWN" } as const;
    await expect(link.call([1], faults, never)).rejects.toMatchObject({
      code,
      message: "the store could not write",
      cause: { message: "disk I/O error" },
    });
    await link.close();
  });
});

/** A thread whose answers can be dropped, and that can be killed. */
async function seamed(timeoutMs: number) {
  const folder = await mkdtemp(join(tmpdir(), "cordum-sqlite-"));
  const spec = { path: join(folder, "state.db"), partitions: 1, layout: conformanceLayout, clock, timeoutMs };
  let [toCut, cuts] = [0, 0];
  let thread: ThreadPort | undefined;
  const store = await openSqlite(spec, async (options) => {
    const port = await startThread(options);
    thread = port;
    return {
      ...port,
      listen(on) {
        port.listen({
          end: on.end,
          message(message) {
            if (message.kind !== "answered" || toCut === 0) return on.message(message);
            toCut--;
            cuts++;
          },
        });
      },
    };
  });
  return {
    ...store,
    spec,
    cutNextAnswer: () => void toCut++,
    cuts: () => cuts,
    kill: async () => thread?.terminate(),
    pass: async (ms: number) => void (await clock.sleep(ms, never)),
    dispose: () => rm(folder, { recursive: true }),
  };
}

lostAnswerConformance("sqlite", () => seamed(150));

describe("sqlite: the thread ends", () => {
  it("K4: what is under way is unknown, what comes later is unavailable, and the winner never loses", async () => {
    const seam = await seamed(5000);
    const s = new Scene(seam, 0);
    await s.create("before");
    const batches = Array.from({ length: 50 }, (_, n) =>
      s.batch([{ is: "absent", key: s.key(`k${n}`) }], [put(s.key(`k${n}`), n)]),
    );
    seam.cutNextAnswer();
    const told = batches.map((batch) => faultOf(seam.state.commit(batch, never)));
    const read = faultOf(seam.state.count([], never));
    // The flush is a microtask: after a turn the group is with the thread.
    await clock.sleep(1, never);
    await seam.kill();
    expect(new Set(await Promise.all(told))).toEqual(new Set(["STATE_OUTCOME_UNKNOWN"]));
    expect(await read).toBe("STATE_UNAVAILABLE");
    expect(await faultOf(s.create("later"))).toBe("STATE_UNAVAILABLE");
    expect(await faultOf(seam.payloads.get("ctx:a", never))).toBe("PAYLOADS_UNAVAILABLE");
    await seam.state.close();
    const { state } = await openSqlite(seam.spec);
    for (const batch of batches) expect(await state.commit(batch, never)).toEqual({ kind: "committed", sizes: [] });
    await state.close();
    await seam.dispose();
  });
  it("K2: a thread that does not answer in time leaves commits unknown and reads unavailable, and calls go on", async () => {
    const seam = await seamed(100);
    const s = new Scene(seam, 0);
    seam.cutNextAnswer();
    const told = [
      faultOf(s.create("a")),
      faultOf(s.get("a")),
      faultOf(seam.payloads.get("ctx:a", never)),
      faultOf(seam.state.take(0, 1, 1, never)),
    ];
    expect(await Promise.all(told)).toEqual([
      "STATE_OUTCOME_UNKNOWN",
      "STATE_UNAVAILABLE",
      "PAYLOADS_UNAVAILABLE",
      "STATE_OUTCOME_UNKNOWN",
    ]);
    expect((await s.get("a"))?.value).toEqual({ id: "a" });
    await seam.state.close();
    await seam.dispose();
  });
  it("K3: a signal ends a call that is under way", async () => {
    const seam = await seamed(5000);
    const s = new Scene(seam, 0);
    seam.cutNextAnswer();
    const controller = new AbortController();
    const key = s.key("a");
    const commit = faultOf(seam.state.commit(s.batch([{ is: "absent", key }], [put(key, 1)]), controller.signal));
    const get = faultOf(seam.state.get([key], controller.signal));
    await clock.sleep(1, never);
    controller.abort();
    expect(await Promise.all([commit, get])).toEqual(["STATE_OUTCOME_UNKNOWN", "STATE_UNAVAILABLE"]);
    await seam.kill();
    await seam.state.close();
    await seam.dispose();
  });
});
