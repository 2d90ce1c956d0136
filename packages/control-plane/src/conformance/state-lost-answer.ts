// S1 when the connection is cut between execution and answer: the batch was done, and nobody was told.
// Owns:          what may happen then, for engines that can lose an answer.
// Must not know: how the answer gets lost (a TCP proxy, a dropped message of a thread).

import { describe, expect, it } from "vitest";
import type { Batch, Outcome, State } from "../ports/state.ts";
import { conformanceLayout, faultOf, never, type OpenedState, put, Scene, type StoreSpec } from "./state-scene.ts";

/** An opened store whose next answer can be made to vanish after the engine has done the work. */
export interface CuttingState extends OpenedState {
  cutNextAnswer(): void;
  /** How many answers have been cut so far: a test that cut nothing proves nothing. */
  cuts(): number;
}
export type OpenCutting = (spec: StoreSpec) => Promise<CuttingState>;

/** The winner never loses: `committed` at once or, after STATE_OUTCOME_UNKNOWN, when the same batch is sent again. */
export function lostAnswerConformance(name: string, openCutting: OpenCutting): void {
  describe(`state: ${name}, answers lost`, () => {
    const run = (title: string, body: (scene: Scene, cutting: CuttingState) => Promise<void>): void => {
      it(title, () => inScene(openCutting, body), 60_000);
    };
    run("S1: a commit whose answer is lost is committed when it is sent again", async (s, cutting) => {
      const key = s.key("a");
      const batch = s.batch(
        [{ is: "absent", key }],
        [
          put(key, 1),
          { do: "append", log: s.log("long"), entry: "once" },
          { do: "enter", index: s.index("rank"), member: "a", score: 1 },
        ],
        [s.index("rank")],
      );
      cutting.cutNextAnswer();
      expect(await insist(s.state, batch)).toEqual({ kind: "committed", sizes: [1] });
      expect(cutting.cuts()).toBe(1);
      expect(await s.entries(s.log("long"))).toEqual(["once"]);
    });
    run("S1: a batch without put is committed when it is sent again", async (s, cutting) => {
      const index = s.index("rank");
      await s.fill(index, [["m", 1]]);
      const batch = s.batch([{ is: "in", index, member: "m" }], [{ do: "leave", index, member: "m" }], [index]);
      cutting.cutNextAnswer();
      expect(await insist(s.state, batch)).toEqual({ kind: "committed", sizes: [0] });
      expect(cutting.cuts()).toBe(1);
    });
    run("S1: many commits under way when the answer is lost have exactly one winner each", async (s, cutting) => {
      const before = await Promise.all(Array.from({ length: 20 }, (_, n) => s.create(`k${n}`)));
      cutting.cutNextAnswer();
      const outcomes = await Promise.all(
        before.flatMap((stored) =>
          ["left", "right"].map((side) => insist(s.state, s.batch([{ is: "at", ...stored }], [put(stored.key, side)]))),
        ),
      );
      expect(cutting.cuts()).toBe(1);
      expect(outcomes.filter((outcome) => outcome.kind === "committed")).toHaveLength(20);
      for (const [n, outcome] of outcomes.entries()) {
        if (outcome.kind !== "committed") continue;
        expect((await s.get(`k${Math.floor(n / 2)}`))?.value).toBe(n % 2 === 0 ? "left" : "right");
      }
    });
    run(
      "a read whose answer is lost says STATE_UNAVAILABLE or is repeated, and the store works on",
      async (s, cutting) => {
        const stored = await s.create("a");
        cutting.cutNextAnswer();
        expect(["STATE_UNAVAILABLE", "no fault"]).toContain(await faultOf(s.get("a")));
        expect(await s.get("a")).toEqual(stored);
      },
    );
  });
}

/** Sends the batch until its outcome is known, as every caller does. */
async function insist(state: State, batch: Batch): Promise<Outcome> {
  for (let attempt = 1; ; attempt++) {
    let outcome: Outcome | undefined;
    const fault = await faultOf(state.commit(batch, never).then((told) => (outcome = told)));
    if (outcome !== undefined) return outcome;
    expect(["STATE_OUTCOME_UNKNOWN", "STATE_UNAVAILABLE"]).toContain(fault);
    if (attempt === 100) throw new Error("no outcome after 100 attempts");
  }
}

async function inScene(open: OpenCutting, body: (scene: Scene, cutting: CuttingState) => Promise<void>): Promise<void> {
  const opened = await open({ partitions: 1, layout: conformanceLayout });
  try {
    await body(new Scene(opened, 0), opened);
  } finally {
    await opened.state.close();
    await opened.dispose?.();
  }
}
