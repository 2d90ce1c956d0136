import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { conformanceLayout, newCommitId } from "../../conformance/state-scene.ts";
import type { Batch } from "../../ports/state.ts";
import { batchCells } from "./batch-cells.ts";
import { Engine } from "./engine.ts";
import { closeFile, openFile } from "./schema.ts";
import { CALL, type Cell } from "./tape.ts";

const index = { partition: 0, index: "rank", of: [] };

function create(id: string, bytes: number): readonly Cell[] {
  const key = { partition: 0, kind: "thing", id };
  const batch: Batch = {
    id: newCommitId(),
    partition: 0,
    checks: [{ is: "absent", key }],
    changes: [
      { do: "put", key, value: null, wakeAt: "never" },
      { do: "enter", index, member: id, score: 1 },
      { do: "append", log: { partition: 0, log: "long", of: "" }, entry: null },
    ],
    tell: [index],
  };
  const cells = batchCells(batch, [JSON.stringify("x".repeat(bytes)), "", '"entry"']);
  return [cells.length, ...cells];
}

describe("sqlite engine", () => {
  it("E2: when the disk is full the whole group is undone, and sizes and positions stay true", () => {
    const folder = mkdtempSync(join(tmpdir(), "cordum-sqlite-"));
    const path = join(folder, "state.db");
    const db = openFile(path, 1);
    const engine = new Engine(db, 1, conformanceLayout);
    expect(engine.run(create("a", 10), 1)).toEqual({ kind: "answered", cells: [2, 1, 1] });
    const pages = Number(db.prepare("PRAGMA page_count").get()?.page_count);
    db.exec(`PRAGMA max_page_count = ${pages + 5}`);
    const group = [...create("b", 10), ...create("c", 500_000), ...create("d", 10)];
    expect(engine.run(group, 2)).toMatchObject({
      kind: "failed",
      outcome: "undone",
      detail: expect.stringContaining("full"),
    });
    const count: readonly Cell[] = [5, CALL.count, 0, "rank", null, null];
    expect(engine.run(count, 3)).toEqual({ kind: "answered", cells: [1, 1] });
    db.exec("PRAGMA max_page_count = 1000000");
    expect(engine.run(group, 4)).toEqual({ kind: "answered", cells: [2, 1, 2, 2, 1, 3, 2, 1, 4] });
    const read: readonly Cell[] = [5, CALL.read, 0, "long:", 0, 10];
    const positions = [1, '"entry"', 2, '"entry"', 3, '"entry"', 4, '"entry"'];
    expect(engine.run(read, 5)).toEqual({ kind: "answered", cells: [9, 0, ...positions] });
    closeFile(db, path);
    rmSync(folder, { recursive: true });
  });
});
