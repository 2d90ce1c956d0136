// Keys for tests of signatures.
// Owns:          making pairs, signing with them.
// Must not know: who trusts whom.

import { generateKeyPairSync } from "node:crypto";
import { type BusPacket, type Init, parseSigningKey, signPacket } from "@cordum/protocol";

export interface TestKeys {
  readonly pem: string;
  readonly publicPem: string;
  sign(packet: Init<BusPacket>): Uint8Array;
}

export function newKeys(): TestKeys {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const parsed = parseSigningKey(pem);
  if (parsed.kind === "refused") throw new Error(parsed.reason);
  return {
    pem,
    publicPem: publicKey.export({ type: "spki", format: "pem" }).toString(),
    sign: (packet) => signPacket(packet, parsed.key),
  };
}
