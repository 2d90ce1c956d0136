// The dump of a Redis shows what memory shows after the same commits, whatever stands in names.

import { expect, it } from "vitest";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { conformanceLayout, never } from "../conformance/state-scene.ts";
import type { Batch } from "../ports/state.ts";
import { redisDump } from "./redis-dump.ts";
import { openStage } from "./redis-stage.ts";
import { startRedis } from "./servers.ts";

const [index = ""] = Object.keys(conformanceLayout.indexes);
const [log = ""] = Object.keys(conformanceLayout.logs);

const batches: readonly Batch[] = ["plain", "with:colon", "with%3Apercent"].map((id, nth) => {
  const partition = nth % 2;
  const key = { partition, kind: nth === 1 ? "odd:kind%" : "kind", id };
  return {
    id: `batch-${nth}`,
    partition,
    checks: [{ is: "absent", key }],
    changes: [
      { do: "put", key, value: { nth }, wakeAt: nth === 0 ? "never" : 4_102_444_800_000 + nth },
      { do: "enter", index: { partition, index, of: ["a:b", "c%"] }, member: id, score: Date.now() },
      { do: "append", log: { partition, log, of: "x:y" }, entry: { nth } },
    ],
  };
});

it("shows records, alarms, indexes and logs", async () => {
  await using server = await startRedis();
  const memory = memoryState({ partitions: 2, layout: conformanceLayout, clock: systemClock() });
  const { state, close } = await openStage({ url: server.url, partitions: 2 });
  for (const batch of batches) for (const each of [memory, state]) await each.commit(batch, never);
  const admin = server.admin();
  const [expected, found] = [memory.dump(), await redisDump(admin)];
  admin.disconnect();
  await close();
  const sorted = (list: readonly unknown[]) => list.map((each) => JSON.stringify(each)).sort();
  expect(found.records).toHaveLength(batches.length);
  for (const part of ["records", "indexes", "logs"] as const)
    expect(sorted(found[part])).toEqual(sorted(expected[part]));
});
