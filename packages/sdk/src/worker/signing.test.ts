import { generateKeyPairSync } from "node:crypto";
import {
  type BusPacketPayload,
  encodePacket,
  type Init,
  parseSigningKey,
  parseVerifyingKey,
  signPacket,
  verifyPacket,
} from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { settle } from "../testing/manual-runtime.ts";
import { startTown, TOPIC } from "../testing/worker-town.ts";
import { worker } from "./definition.ts";
import type { SigningOptions } from "./signing.ts";

function newKeys(namedCurve = "P-256") {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve });
  return {
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

const scheduler = newKeys();
const stranger = newKeys();
const publicKeys = { "cordum-scheduler": scheduler.publicKey };
const job: Init<BusPacketPayload> = { kind: "jobRequest", value: { jobId: "j1", topic: TOPIC } };

function signed(pem: string, senderId: string): Uint8Array {
  const parsed = parseSigningKey(pem);
  if (parsed.kind === "refused") throw new Error(parsed.reason);
  return signPacket({ senderId, protocolVersion: 1, payload: job }, parsed.key);
}

async function runs(signing: SigningOptions, bytes: Uint8Array): Promise<boolean> {
  let calls = 0;
  const town = await startTown([worker(TOPIC, () => void calls++)], { signing });
  town.bus.deliver(TOPIC, bytes);
  await settle();
  return calls === 1;
}

describe("worker: signatures", () => {
  const good = signed(scheduler.privateKey, "cordum-scheduler");
  const unsigned = encodePacket({ senderId: "cordum-scheduler", protocolVersion: 1, payload: job });
  const forged = signed(stranger.privateKey, "cordum-scheduler");
  const unknown = signed(stranger.privateKey, "somebody");
  const nameless = signed(scheduler.privateKey, "");
  const proto = signed(stranger.privateKey, "__proto__");

  it("requires valid signatures of known senders as soon as there are public keys", async () => {
    expect(await runs({ publicKeys }, good)).toBe(true);
    for (const bytes of [unsigned, forged, unknown, nameless, proto])
      expect(await runs({ publicKeys }, bytes)).toBe(false);
  });

  it("lets unsigned packets pass with if_present, and nothing that is signed wrongly", async () => {
    for (const bytes of [good, unsigned]) expect(await runs({ publicKeys, verify: "if_present" }, bytes)).toBe(true);
    for (const bytes of [forged, unknown, nameless])
      expect(await runs({ publicKeys, verify: "if_present" }, bytes)).toBe(false);
  });

  it("does not look at signatures when off", async () => {
    for (const bytes of [good, unsigned, forged]) expect(await runs({}, bytes)).toBe(true);
  });

  it("does not let an unsigned cancel stop a job", async () => {
    let signal: AbortSignal | undefined;
    const deaf = worker(TOPIC, (_input, context) => {
      signal = context.signal;
      return new Promise(() => undefined);
    });
    const town = await startTown([deaf], { signing: { publicKeys } });
    town.bus.deliver(TOPIC, good);
    await settle();
    town.cancel("j1");
    await settle();
    expect(signal?.aborted).toBe(false);
  });

  it("signs all that it sends", async () => {
    const own = newKeys();
    const key = parseVerifyingKey(own.publicKey);
    const tells = worker(TOPIC, (_input, { progress }) => progress(50));
    const town = await startTown([tells], { signing: { privateKey: own.privateKey } });
    town.send({ jobId: "j1" });
    await town.bus.first("jobResult");
    if (key.kind === "refused") throw new Error(key.reason);
    expect(town.bus.all("handshake")[0]?.capabilities.signatures).toBe(true);
    expect(town.bus.sent.map(({ packet }) => verifyPacket(encodePacket(packet), key.key).kind)).toEqual(
      Array(4).fill("verified"),
    );
  });

  it("refuses to start with keys that cannot be right", async () => {
    const start = (signing: SigningOptions) => startTown([worker(TOPIC, () => 1)], { signing });
    await expect(start({ privateKey: "no key" })).rejects.toThrow("signing.privateKey: unreadable");
    await expect(start({ privateKey: newKeys("P-384").privateKey })).rejects.toThrow("not_p256");
    await expect(start({ publicKeys: { a: scheduler.privateKey } })).rejects.toThrow("signing.publicKeys of a");
    await expect(start({ verify: "require" })).rejects.toThrow("no publicKeys");
    await expect(start({ publicKeys: {} })).rejects.toThrow("no publicKeys");
  });
});
