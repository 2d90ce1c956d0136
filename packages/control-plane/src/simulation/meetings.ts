// Which fates calls have met: what a simulation can be asked afterwards, to know that it tried what it says it tries.
// Owns:          the counts by method and fate; calls that were overtaken; batches that were torn.
// Must not know: what a fate does.

import type { Call } from "./calls.ts";
import type { Fate } from "./fate.ts";

export class Meetings {
  /** By "port.method fate". "overtaken": calls that met their fate after a later one had; "torn": commits of one moment and process, which
   *  an engine takes in one batch, of which some were done and some were not. */
  readonly counts = new Map<string, number>();
  readonly #moments = new Map<string, "done" | "not" | "torn">();
  #newest = -1;

  note(call: Call, fate: Fate | "gone"): void {
    if (fate !== "run") count(this.counts, `${call.port}.${call.method} ${fate}`);
    if (call.nth < this.#newest) count(this.counts, "overtaken");
    else this.#newest = call.nth;
    if (call.kind === "commit") this.#noteMoment(`${call.life.label} ${call.turn}`, isDone(fate) ? "done" : "not");
  }

  #noteMoment(moment: string, now: "done" | "not"): void {
    const before = this.#moments.get(moment);
    if (before === undefined) this.#moments.set(moment, now);
    else if (before !== "torn" && before !== now) {
      this.#moments.set(moment, "torn");
      count(this.counts, "torn");
    }
  }
}

function isDone(fate: Fate | "gone"): boolean {
  return fate === "run" || fate === "lost_answer" || fate === "duplicate";
}

export function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
