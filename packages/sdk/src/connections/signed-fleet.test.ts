// Signed packets on the wire, and keys that change while jobs come in.

import { generateKeyPairSync } from "node:crypto";
import {
  type BusPacket,
  encodePacket,
  type Init,
  JobStatus,
  parseSigningKey,
  parseVerifyingKey,
  signPacket,
  verifyPacket,
} from "@cordum/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SCHEDULER, type Seal, TOPIC } from "../testing/control-side.ts";
import { type Fleet, notedLog, startFleet } from "../testing/fleet.ts";
import { obedient } from "../testing/held-worker.ts";
import { worker } from "../worker/definition.ts";
import type { SigningOptions } from "../worker/signing.ts";

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet[Symbol.asyncDispose]());

function newKeys() {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const parsed = parseSigningKey(pem);
  if (parsed.kind === "refused") throw new Error(parsed.reason);
  const seal: Seal = (packet: Init<BusPacket>) => signPacket(packet, parsed.key);
  return { pem, publicPem: publicKey.export({ type: "spki", format: "pem" }).toString(), seal };
}

const before = newKeys();
const after = newKeys();
const stranger = newKeys();
const SEALS = { unsigned: encodePacket, before: before.seal, after: after.seal, stranger: stranger.seal };

/** Which of the sealed dispatches a worker with these options runs. */
async function taken(workerId: string, signing: SigningOptions): Promise<readonly string[]> {
  const { control, url } = fleet;
  const ran: string[] = [];
  const log = notedLog();
  await using _serving = await worker(
    TOPIC,
    (_input, { jobId }) => void ran.push(jobId.slice(workerId.length + 1)),
  ).start(url, { workerId, log, signing });
  for (const [name, seal] of Object.entries(SEALS)) await control.dispatch({ jobId: `${workerId}-${name}` }, { seal });
  // The last is always good: when it is answered, all before it have been judged.
  await control.dispatch(
    { jobId: `${workerId}-last` },
    { seal: signing.verify === "off" ? encodePacket : before.seal },
  );
  await control.heard("jobResult", 1, ({ jobId }) => jobId === `${workerId}-last`);
  return ran.filter((name) => name !== "last");
}

describe("signed packets over NATS", () => {
  const both = { [SCHEDULER]: [before.publicPem, after.publicPem] };

  it.each<[string, SigningOptions, readonly string[]]>([
    ["off", { verify: "off" }, ["unsigned", "before", "after", "stranger"]],
    ["if-present", { verify: "if_present", publicKeys: both }, ["unsigned", "before", "after"]],
    ["require", { verify: "require", publicKeys: both }, ["before", "after"]],
    ["old-key-only", { publicKeys: { [SCHEDULER]: before.publicPem } }, ["before"]],
  ])("%s: runs what it should", async (name, signing, expected) => {
    expect(await taken(`s-${name}`, signing)).toEqual(expected);
  });

  it("does not let a stranger cancel a job", async () => {
    const { control, url } = fleet;
    const log = notedLog();
    const signing = { publicKeys: both };
    await using _serving = await obedient.start(url, { workerId: "s-cancel", log, signing });
    await control.dispatch({ jobId: "s-cancel-1" }, { seal: after.seal });
    await control.heard("jobProgress", 1, ({ jobId }) => jobId === "s-cancel-1");
    await control.cancel("s-cancel-1", { seal: stranger.seal });
    expect(await log.noted("packet.refused")).toMatchObject({ reason: "signature invalid", subject: "sys.job.cancel" });
    expect(control.all("jobResult").filter(({ jobId }) => jobId === "s-cancel-1")).toEqual([]);
    await control.cancel("s-cancel-1", { seal: after.seal });
    const [result] = await control.heard("jobResult", 1, ({ jobId }) => jobId === "s-cancel-1");
    expect(result?.status).toBe(JobStatus.CANCELLED);
  });

  it("signs what it sends, so that the other side can verify it", async () => {
    const { control, url } = fleet;
    const own = newKeys();
    const key = parseVerifyingKey(own.publicPem);
    if (key.kind === "refused") throw new Error(key.reason);
    const options = { workerId: "s-own", log: notedLog(), signing: { privateKey: own.pem } };
    await using _serving = await worker(TOPIC, (_input, { progress }) => progress(50)).start(url, options);
    await control.dispatch({ jobId: "s-own-1" });
    await control.heard("jobResult", 1, ({ jobId }) => jobId === "s-own-1");
    for (const kind of ["handshake", "heartbeat", "jobProgress", "jobResult"] as const) {
      const packets = control.packets(kind).filter(({ senderId }) => senderId === "s-own");
      expect(packets.length).toBeGreaterThan(0);
      for (const packet of packets) expect(verifyPacket(encodePacket(packet), key.key).kind).toBe("verified");
    }
  });
});
