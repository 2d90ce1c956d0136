// The order of faults, and what is read back of what workers wrote down.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "@cordum/control-plane/adapters/system/seeded-random";
import { describe, expect, it } from "vitest";
import { Deck } from "./deck.ts";
import { readExecutions, writeEffect } from "./effects.ts";
import { FAULTS } from "./faults.ts";

const drawn = (seed: number, hasReplica: boolean, count: number): readonly string[] => {
  const deck = new Deck(seededRandom(seed));
  return Array.from({ length: count }, () => deck.next(hasReplica).name);
};

describe("the deck", () => {
  it("brings every fault before one comes again, in an order that is the seed's", () => {
    expect(new Set(drawn(1, true, FAULTS.length)).size).toBe(FAULTS.length);
    expect(drawn(1, true, 40)).toEqual(drawn(1, true, 40));
    expect(drawn(1, true, 40)).not.toEqual(drawn(2, true, 40));
  });

  it("keeps what needs a replica until there is one, and brings it first then", () => {
    expect(drawn(3, false, 60)).not.toContain("Redis failover");
    const deck = new Deck(seededRandom(3));
    for (let nth = 0; nth < FAULTS.length; nth++) deck.next(false);
    expect(deck.next(true).name).toBe("Redis failover");
  });
});

describe("executions", () => {
  it("are read from several files in order of their starts, also those whose worker died under way", () => {
    const folder = mkdtempSync(join(tmpdir(), "cordum-effects-"));
    const [one, other, none] = ["a", "b", "c"].map((name) => join(folder, name));
    const line = { topic: "job.echo", attempt: 1, worker: "w" };
    writeEffect(one ?? "", { what: "start", job: "late", life: "w-1", at: 20, ...line });
    writeEffect(one ?? "", { what: "end", job: "late", life: "w-1", at: 30, how: "done", ...line });
    writeEffect(one ?? "", { what: "start", job: "cut", life: "w-1", at: 40, ...line });
    writeEffect(other ?? "", { what: "start", job: "twice", life: "w-2", at: 5, ...line });
    writeEffect(other ?? "", { what: "start", job: "twice", life: "w-2", at: 6, ...line });
    const read = readExecutions([one ?? "", other ?? "", none ?? ""]);
    rmSync(folder, { recursive: true });
    expect(read.map(({ job, start, end, how }) => [job, start, end, how])).toEqual([
      ["twice", 5, undefined, "never ended"],
      ["twice", 6, undefined, "never ended"],
      ["late", 20, 30, "done"],
      ["cut", 40, undefined, "never ended"],
    ]);
  });
});
