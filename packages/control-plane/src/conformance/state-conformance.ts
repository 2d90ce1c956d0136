// The conformance suite of State: every rule of ports/state.ts, for every engine, with one partition and with three.
// Owns:          which suites there are and how a test gets its store.
// Must not know: which engine is tried. Titles begin with the number of the rule.
// Test-only code: an engine's *.test.ts calls these functions.

import { describe, it } from "vitest";
import { attachmentRules } from "./state-attachments.ts";
import { commitRules } from "./state-commits.ts";
import { limitRules } from "./state-limits.ts";
import { listRules } from "./state-lists.ts";
import { modelRule } from "./state-model.ts";
import { conformanceLayout, type OpenState, Scene } from "./state-scene.ts";
import { timeRules } from "./state-times.ts";

export { type CuttingState, lostAnswerConformance, type OpenCutting } from "./state-lost-answer.ts";
export { conformanceLayout, type OpenedState, type OpenState, passRealTime, type StoreSpec } from "./state-scene.ts";

export interface ConformanceOptions {
  /** Runs of the property test; default 200. */
  readonly modelRuns?: number;
  /** Numbers of partitions to try with; default 1 and 3. */
  readonly partitions?: readonly number[];
}

/** Tries all rules on stores that `open` opens; every test has a store of its own and closes it. */
export function stateConformance(name: string, open: OpenState, options: ConformanceOptions = {}): void {
  for (const partitions of options.partitions ?? [1, 3]) {
    describe(`state: ${name}, ${partitions} partition${partitions === 1 ? "" : "s"}`, () => {
      const run = (title: string, body: (scene: Scene) => Promise<void>): void => {
        it(title, () => inScene(open, partitions, body), 60_000);
      };
      commitRules(run);
      limitRules(run, partitions);
      timeRules(run);
      listRules(run);
      attachmentRules(run);
      modelRule(run, options.modelRuns ?? 200);
    });
  }
}

async function inScene(open: OpenState, partitions: number, body: (scene: Scene) => Promise<void>): Promise<void> {
  const opened = await open({ partitions, layout: conformanceLayout });
  try {
    await body(new Scene(opened, partitions - 1));
  } finally {
    await opened.state.close();
    await opened.dispose?.();
  }
}
