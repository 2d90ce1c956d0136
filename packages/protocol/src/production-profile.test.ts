// The production profile: every vector of it, and every rule broken once.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { BusPacket } from "./gen/agent.ts";
import { decodePacket } from "./packet.ts";
import {
  type ProductionExpectation,
  type ProductionRefusal,
  signProduction,
  verifyProduction,
} from "./production-profile.ts";
import { parseSigningKey, parseVerifyingKey } from "./signature.ts";
import type { Init } from "./wire/schema.ts";

interface Vector {
  readonly name: string;
  readonly packet_hex: string;
  readonly valid: boolean;
  readonly signed_digest?: string;
}
const file = JSON.parse(readFileSync(new URL("../../../test/vectors/signatures.json", import.meta.url), "utf8")) as {
  readonly keys: readonly {
    readonly sender_id: string;
    readonly private_pkcs8_pem_TEST_ONLY: string;
    readonly public_spki_pem: string;
  }[];
  readonly production_profile: readonly Vector[];
};
const pems = file.keys.find((key) => key.sender_id === "py-worker");
const parsedKey = parseVerifyingKey(pems?.public_spki_pem ?? "");
const parsedSigner = parseSigningKey(pems?.private_pkcs8_pem_TEST_ONLY ?? "");
if (parsedKey.kind !== "key" || parsedSigner.kind !== "key") throw new Error("no keys");
const { key } = parsedKey;
const signer = parsedSigner.key;

const expected: ProductionExpectation = {
  audience: "sys.job.result",
  tenant: "t",
  now: Date.parse("2026-01-14T20:51:00Z"),
  lifetimeMaxMs: 300_000,
  keyOf: (of) => (of.sender === "py-worker" && of.keyId === "k1" && of.tenant === "t" ? key : undefined),
};
const cases: Record<string, readonly [Partial<ProductionExpectation>, ProductionRefusal]> = {
  "production/other-audience": [{ audience: "sys.job.submit" }, "audience_mismatch"],
  "production/other-tenant": [{ tenant: "u" }, "tenant_mismatch"],
  "production/expired": [{ now: Date.parse("2026-01-14T21:30:00Z") }, "expired"],
  "production/duplicate-field": [{}, "duplicate_field"],
  "production/unknown-field": [{}, "unknown_field"],
  "production/generic-signature": [{}, "signature_invalid"],
};
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
const first = file.production_profile[0]?.packet_hex ?? "";

describe("production profile", () => {
  it.each(file.production_profile.map((vector) => [vector.name, vector] as const))("judges %s", (name, vector) => {
    const [change, reason] = cases[name] ?? [{}, undefined];
    const verdict = verifyProduction(bytesOf(vector.packet_hex), { ...expected, ...change });
    if (vector.valid) expect(verdict).toMatchObject({ kind: "verified", messageId: new Uint8Array(16).fill(1) });
    else expect(verdict).toEqual({ kind: "refused", reason });
    if (vector.signed_digest !== undefined && verdict.kind === "verified") {
      expect(Buffer.from(verdict.digest).toString("hex")).toBe(vector.signed_digest);
    }
  });

  const packet = decodePacket(bytesOf(first));
  const result = packet.payload?.kind === "jobResult" ? packet.payload.value : undefined;
  const broken: readonly (readonly [ProductionRefusal, Init<BusPacket>])[] = [
    ["version", { ...packet, protocolVersion: 2 }],
    ["payload_count", { ...packet, payload: undefined }],
    ["metadata", { ...packet, signatureMetadata: undefined }],
    ["metadata", { ...packet, signatureMetadata: { ...packet.signatureMetadata, messageId: new Uint8Array(15) } }],
    ["metadata", { ...packet, signatureMetadata: { ...packet.signatureMetadata, expiresAt: undefined } }],
    ["metadata", { ...packet, signatureMetadata: { ...packet.signatureMetadata, algorithm: "none" } }],
    [
      "lifetime_too_long",
      { ...packet, signatureMetadata: { ...packet.signatureMetadata, expiresAt: { seconds: 4_000_000_000 } } },
    ],
    ["tenant_mismatch", { ...packet, identity: undefined }],
    ["identity_mismatch", { ...packet, identity: { ...packet.identity, actorId: "mallory" } }],
    ["identity_mismatch", { ...packet, payload: { kind: "jobResult", value: { ...result, workerId: "other" } } }],
    [
      "identity_mismatch",
      { ...packet, payload: { kind: "jobRequest", value: { tenantId: "u", identity: packet.identity } } },
    ],
    ["unknown_key", { ...packet, signatureMetadata: { ...packet.signatureMetadata, keyId: "k2" } }],
  ];
  it.each(broken)("refuses with %s", (reason, init) => {
    expect(verifyProduction(signProduction(init, signer), expected)).toEqual({ kind: "refused", reason });
  });

  it("accepts what it signs itself", () => {
    expect(verifyProduction(signProduction(packet, signer), expected)).toMatchObject({ kind: "verified" });
  });

  it("refuses a varint that could be shorter, and bytes that are no packet", () => {
    expect(verifyProduction(bytesOf(first.replace(/^0a07/, "0a8700")), expected)).toEqual({
      kind: "refused",
      reason: "not_minimal",
    });
    expect(verifyProduction(bytesOf(first.slice(0, -2)), expected)).toEqual({ kind: "refused", reason: "malformed" });
  });
});
