// Ending the session of a worker by order: in whatever process it is, now or once the order is read, and no other session.

import { SESSION_CLOSE } from "@cordum/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { readAudit } from "../audit/read-audit.ts";
import type { Bus } from "../ports/bus.ts";
import { Fault } from "../ports/fault.ts";
import type { State } from "../ports/state.ts";
import { NEVER, type SceneOptions } from "../testing/job-scene.ts";
import { withState } from "../testing/scene-ports.ts";
import { openSessionScene, type SessionScene } from "../testing/session-scene.ts";
import { orderRevocation, REVOCATIONS_MAX } from "./revocations.ts";
import { REREAD_MS } from "./revoker.ts";
import type { WorkerSessions } from "./sessions.ts";

let stage: SessionScene;
afterEach(() => stage[Symbol.asyncDispose]());

const BY = { tenant: "acme", principal: "ada", role: "operator", keyId: "" };
const RING = /^cordum\.event\.session\./;
const ENDED = { code: SESSION_CLOSE.REVOKED, reason: "an operator has ended this session" };

async function open(options: SceneOptions = {}): Promise<WorkerSessions> {
  stage = await openSessionScene({ shared: true, ...options });
  return stage.addSessions();
}
async function revoke(at: WorkerSessions, ownId = "w1", tenant = "acme"): Promise<boolean> {
  const order = { tenant, ownId, workerId: `${tenant}.${ownId}`, by: BY, reason: "was seen elsewhere" };
  await stage.scene.pass(10);
  const revoked = await at.revoke(order, NEVER);
  await stage.scene.quiet();
  return revoked;
}
const audited = async () =>
  (await readAudit(stage.scene.state, { tenant: "acme", limit: 2_000 }, NEVER)).filter(
    ({ action }) => action === "worker.revoke_session",
  );

describe("an order", () => {
  it("ends the session in another process, once, and says so in the audit", async () => {
    const elsewhere = await open();
    const worker = await stage.worker();
    expect(await revoke(elsewhere)).toBe(true);
    expect(worker.closedWith).toEqual(ENDED);
    expect(await revoke(elsewhere)).toBe(false);
    expect(await audited()).toMatchObject([
      { actor: BY, of: { kind: "worker", id: "acme.w1" }, reason: "was seen elsewhere" },
    ]);
  });

  it("ends it in the process that was asked", async () => {
    await open();
    const worker = await stage.worker();
    expect(await revoke(stage.sessions)).toBe(true);
    expect(worker.closedWith).toEqual(ENDED);
  });

  it("ends one that has only said hello", async () => {
    const elsewhere = await open();
    const worker = stage.connect();
    worker.hello();
    expect(await revoke(elsewhere)).toBe(true);
    expect(worker.closedWith).toEqual(ENDED);
  });

  it("leaves other workers, and one of another tenant that calls itself the same", async () => {
    const elsewhere = await open();
    const [other, foreign] = [await stage.worker({ id: "w2" }), await stage.worker({ tenant: "other" })];
    expect(await revoke(elsewhere)).toBe(false);
    await stage.worker();
    expect(await revoke(elsewhere)).toBe(true);
    await stage.scene.pass(2 * REREAD_MS);
    expect([other.closedWith, foreign.closedWith]).toEqual([undefined, undefined]);
    expect(await audited()).toHaveLength(1);
  });

  it("leaves the session that comes after it, which goes on with the worker's jobs", async () => {
    const elsewhere = await open();
    await stage.worker();
    const { jobId } = await stage.scene.submit();
    await stage.scene.quiet();
    await revoke(elsewhere);
    await stage.scene.pass(10);
    const after = await stage.worker();
    await stage.scene.pass(2 * REREAD_MS);
    expect(after.closedWith).toBeUndefined();
    expect(await after.result({ jobId })).toMatchObject({ kind: "done" });
    expect((await stage.scene.load(jobId)).phase.state).toBe("SUCCEEDED");
    expect(await revoke(elsewhere)).toBe(true);
    expect(after.closedWith).toEqual(ENDED);
  });

  it("is refused where too many were given, and possible again an hour later", async () => {
    await open();
    const order = { tenant: "acme", ownId: "other", workerId: "acme.other", by: BY, reason: "" };
    for (let nth = 0; nth < REVOCATIONS_MAX; nth++) await orderRevocation(order, stage.scene, NEVER);
    const worker = await stage.worker();
    await expect(revoke(stage.sessions)).rejects.toThrow(`${REVOCATIONS_MAX} sessions`);
    expect(worker.closedWith).toBeUndefined();
    await stage.scene.clock.advance(3_600_000);
    await stage.scene.quiet();
    expect(await revoke(stage.sessions)).toBe(true);
  });
});

describe("a ring", () => {
  it("that gets lost costs the time to the next look", async () => {
    // The server has a subscriber for it, who does not get it.
    const losing = (real: Bus): Bus => ({
      ...real,
      deliver: (subject, bytes, signal) =>
        RING.test(subject) ? Promise.resolve("heard") : real.deliver(subject, bytes, signal),
    });
    const elsewhere = await open({ bus: losing });
    const worker = await stage.worker();
    expect(await revoke(elsewhere)).toBe(true);
    expect(worker.closedWith).toBeUndefined();
    await stage.scene.pass(REREAD_MS + 2_000);
    expect(worker.closedWith).toEqual(ENDED);
  });

  it("that cannot be followed now is followed when the store is back", async () => {
    let isAway = false;
    const away = (real: State): State =>
      withState(real, {
        list: (query, signal) =>
          isAway && query.span.index.index === "session.revoked"
            ? Promise.reject(new Fault("STATE_UNAVAILABLE", "away"))
            : real.list(query, signal),
      });
    const elsewhere = await open({ state: away });
    const worker = await stage.worker();
    await stage.scene.pass(REREAD_MS);
    isAway = true;
    expect(await revoke(elsewhere)).toBe(true);
    expect(worker.closedWith).toBeUndefined();
    isAway = false;
    await stage.scene.pass(2_000);
    expect(worker.closedWith).toEqual(ENDED);
  });

  it("that somebody forged ends nothing", async () => {
    await open();
    const worker = await stage.worker();
    const heard = await stage.scene.bus.deliver("cordum.event.session.worker.acme.w1.jobs", Buffer.from("now"), NEVER);
    await stage.scene.quiet();
    expect([heard, worker.closedWith]).toEqual(["heard", undefined]);
  });

  it("is heard by nobody once the session has ended", async () => {
    await open();
    const worker = await stage.worker();
    await worker.vanish();
    expect(await stage.scene.bus.deliver("cordum.event.session.worker.acme.w1.jobs", Buffer.from(""), NEVER)).toBe(
      "nobody",
    );
  });
});
