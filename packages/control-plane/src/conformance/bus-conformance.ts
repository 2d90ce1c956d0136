// What every Bus must do, rule by rule (ports/bus.ts).
// Owns:          how a case gets its bus, and which cases a bus may leave out.
// Must not know: which bus it is. Titles begin with the number of the rule.

import { afterEach, describe, it } from "vitest";
import { deliveryRules } from "./bus-deliveries.ts";
import { handlerRules } from "./bus-handlers.ts";
import type { BusUnderTest, Case } from "./bus-scene.ts";

export { type BusUnderTest, never } from "./bus-scene.ts";

/** Cases that a bus cannot pass, by the beginning of their name, with the reason that the report prints. */
export interface BusSkip {
  readonly case: string;
  readonly reason: string;
}

export function busConformance(name: string, open: () => Promise<BusUnderTest>, skip: readonly BusSkip[] = []): void {
  describe(`bus: ${name}`, () => {
    const opened: BusUnderTest[] = [];
    afterEach(async () => {
      for (const bus of opened.splice(0)) await bus.close();
    });
    let count = 0;
    const test: Case = (title, run) => {
      const skipped = skip.find((known) => title.startsWith(known.case));
      it.skipIf(skipped !== undefined)(skipped === undefined ? title : `${title} (${skipped.reason})`, async () => {
        const bus = await open();
        opened.push(bus);
        const prefix = `t${process.pid}x${count++}x${Math.floor(performance.now())}`;
        await run({ ...bus, subject: (...tokens) => [prefix, ...tokens].join(".") });
      });
    };
    deliveryRules(test);
    handlerRules(test);
  });
}
