import { describe, expect, it } from "vitest";
import { type VirtualClock, virtualClock } from "../adapters/system/virtual-clock.ts";
import type { AuditEntry } from "../audit/audit-entry.ts";
import { readAudit } from "../audit/read-audit.ts";
import { Fault } from "../ports/fault.ts";
import { openScene, type Scene } from "./testing/gateway-scene.ts";

const never = new AbortController().signal;
const MINUTE_MS = 60_000;

async function withScene(test: (scene: Scene, clock: VirtualClock) => Promise<void>): Promise<void> {
  const clock = virtualClock();
  await using scene = await openScene({}, clock);
  await test(scene, clock);
}
const toldIn = async (scene: Scene, tenant: string, action: string): Promise<readonly AuditEntry[]> =>
  (await readAudit(scene.core.parts.state, { tenant, limit: 10_000 }, never)).filter(
    (entry) => entry.action === action,
  );

describe("refusals of known callers", () => {
  it("are written in their own tenant, alike ones as one entry, and never where they wanted to go", () =>
    withScene(async (scene, clock) => {
      for (let n = 0; n < 50; n++) await scene.call("viewer-key", "POST", "/api/v1/jobs", { payload: { prompt: "x" } });
      await scene.call("admin-key", "GET", "/api/v1/jobs", { headers: { "x-tenant-id": "other" } });
      await scene.post("admin-key", "/api/v1/jobs", { prompt: "x", tenant_id: "other" });
      expect(await toldIn(scene, "acme", "access.denied")).toEqual([]);
      await clock.advance(10_000);
      const told = await toldIn(scene, "acme", "access.denied");
      expect(told.map(({ actor, of, facts }) => [actor.principal, of.id, facts.code, facts.count])).toEqual([
        ["viewer", "POST /api/v1/jobs", "FORBIDDEN", 50],
        ["admin", "GET /api/v1/jobs", "TENANT_FORBIDDEN", 1],
        ["admin", "POST /api/v1/jobs", "TENANT_FORBIDDEN", 1],
      ]);
      expect(await toldIn(scene, "other", "access.denied")).toEqual([]);
    }));

  it("of one's own request are told too", () =>
    withScene(async (scene, clock) => {
      const { job_id } = (await scene.post("admin-key", "/api/v1/jobs", { prompt: "x", topic: "job.ask" })).json();
      await scene.post("admin-key", `/api/v1/approvals/${job_id}/approve`, {});
      await clock.advance(10_000);
      expect((await toldIn(scene, "acme", "access.denied")).map(({ facts }) => facts.code)).toEqual([
        "SELF_APPROVAL_DENIED",
      ]);
    }));
});

describe("failed logins", () => {
  it("of strangers are written in the operator's tenant by address, and hold nothing that was presented", () =>
    withScene(async (scene, clock) => {
      for (let n = 0; n < 20; n++)
        await scene.call(`guessed-secret-${n}`, "GET", "/api/v1/jobs", { remoteAddress: "10.0.0.1" });
      await clock.advance(10_000);
      const told = await toldIn(scene, "default", "login.failed");
      expect(told).toMatchObject([
        { of: { kind: "address", id: "10.0.0.1" }, facts: { count: 20 }, actor: { principal: "unknown" } },
      ]);
      expect(JSON.stringify(told)).not.toContain("guessed");
    }));

  it("with a key that was ours once are written in its tenant, with the key's id", () =>
    withScene(async (scene, clock) => {
      const expires_at = new Date(clock.now() + 1_000).toISOString();
      const made = await scene.post("admin-key", "/api/v1/keys", { name: "k", roles: ["viewer"], expires_at });
      await scene.call(made.json().secret, "GET", "/api/v1/jobs");
      await clock.advance(1_000);
      await scene.call(made.json().secret, "GET", "/api/v1/jobs");
      await clock.advance(10_000);
      const revoked = await scene.post("admin-key", "/api/v1/keys", { name: "k", roles: ["viewer"] });
      await scene.post("admin-key", `/api/v1/keys/${revoked.json().id}/revoke`, {});
      await scene.call(revoked.json().secret, "GET", "/api/v1/jobs");
      await clock.advance(10_000);
      const told = await toldIn(scene, "acme", "login.failed");
      expect(told.map(({ actor }) => actor.keyId)).toEqual([made.json().id, revoked.json().id]);
    }));

  it("cannot fill the log, however many addresses they come from; their number is not lost", () =>
    withScene(async (scene, clock) => {
      let sent = 0;
      for (let round = 0; round < 30; round++) {
        for (let n = 0; n < 100; n++, sent++)
          await scene.call("guess", "GET", "/api/v1/jobs", { remoteAddress: `10.${round}.0.${n}` });
        await clock.advance(MINUTE_MS);
      }
      await clock.advance(10 * MINUTE_MS);
      const told = await toldIn(scene, "default", "login.failed");
      expect(told.length).toBeLessThan(30 + 30 + 10 + 10);
      expect(told.reduce((sum, { facts }) => sum + Number(facts.count), 0)).toBe(sent);
    }));

  it("are kept while State is away, and written when it is back", () =>
    withScene(async (scene, clock) => {
      const { state } = scene.core.parts;
      const commit = state.commit.bind(state);
      state.commit = () => Promise.reject(new Fault("STATE_UNAVAILABLE", "away"));
      await scene.call("guess", "GET", "/api/v1/jobs", { remoteAddress: "10.0.0.1" });
      await clock.advance(30_000);
      state.commit = commit;
      await clock.advance(10_000);
      expect(await toldIn(scene, "default", "login.failed")).toHaveLength(1);
    }));
});
