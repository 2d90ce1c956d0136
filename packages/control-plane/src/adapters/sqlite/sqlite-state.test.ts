import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { payloadsConformance } from "../../conformance/payloads-conformance.ts";
import { type OpenedState, type StoreSpec, stateConformance } from "../../conformance/state-conformance.ts";
import { conformanceLayout, never } from "../../conformance/state-scene.ts";
import { systemClock } from "../system/clock.ts";
import { openSqlite } from "./open-sqlite.ts";

const clock = systemClock();

async function pass(ms: number): Promise<void> {
  await clock.sleep(ms, never);
}

async function openAt(folder: string, spec: StoreSpec): Promise<OpenedState> {
  const { state, payloads, transactions } = await openSqlite({ ...spec, path: join(folder, "state.db"), clock });
  return {
    state,
    payloads,
    pass,
    reopen: (again) => openAt(folder, again),
    calls: transactions,
    dispose: () => rm(folder, { recursive: true }),
  };
}

stateConformance("sqlite", async (spec) => openAt(await mkdtemp(join(tmpdir(), "cordum-sqlite-")), spec));

payloadsConformance("sqlite", async () => {
  const folder = await mkdtemp(join(tmpdir(), "cordum-sqlite-"));
  const path = join(folder, "state.db");
  const { state, payloads } = await openSqlite({
    path,
    partitions: 1,
    layout: conformanceLayout,
    clock,
  });
  return {
    payloads,
    pass,
    async dispose() {
      await state.close();
      await rm(folder, { recursive: true });
    },
  };
});
