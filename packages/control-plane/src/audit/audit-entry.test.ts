import { describe, expect, it } from "vitest";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { auditChange, auditLayout, parseAuditEntry } from "./audit-entry.ts";
import { readAudit } from "./read-audit.ts";

const NEVER = new AbortController().signal;
const HOUR_MS = 3_600_000;

describe("an audit entry", () => {
  it("is there when the change that it tells about was made, for its tenant alone, in order of time", async () => {
    const state = memoryState({
      partitions: 3,
      layout: { indexes: {}, logs: auditLayout(HOUR_MS) },
      clock: systemClock(),
    });
    const actor = { tenant: "acme", principal: "ada", role: "operator", keyId: "0123456789ab" };
    const note = (partition: number, at: number, tenant = "acme") => {
      const key = { partition, kind: "thing", id: `thing-${partition}` };
      const entry = {
        at,
        tenant,
        actor,
        action: "thing.make",
        of: { kind: "thing", id: key.id },
        reason: "",
        facts: { n: at },
      };
      return state.commit(
        {
          id: `commit-${partition}-${at}`.slice(0, 12),
          partition,
          checks: [{ is: "absent", key }],
          changes: [{ do: "put", key, value: {}, wakeAt: "never" }, auditChange(entry, partition)],
        },
        NEVER,
      );
    };
    await note(2, 10);
    await note(0, 30);
    await note(1, 20, "other");
    expect((await note(0, 40)).kind).toBe("conflict");
    expect(await readAudit(state, { tenant: "acme", limit: 10 }, NEVER)).toMatchObject([
      { at: 10, actor, action: "thing.make", of: { kind: "thing", id: "thing-2" }, facts: { n: 10 } },
      { at: 30, of: { id: "thing-0" } },
    ]);
    expect(await readAudit(state, { tenant: "other", limit: 10 }, NEVER)).toHaveLength(1);
    await state.close();
  });

  it("of a shape from the future is refused", () => {
    expect(() => parseAuditEntry({ shape: 2 })).toThrow("shape 2");
    expect(() => parseAuditEntry(null)).toThrow("shape undefined");
  });
});
