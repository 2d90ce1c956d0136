// Signatures: every vector of signatures.json, and our own signer against our verifier.

import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { BusPacket } from "./gen/agent.ts";
import { decodePacket } from "./packet.ts";
import {
  parseSigningKey,
  parseVerifyingKey,
  type SigningKey,
  signInDomain,
  signPacket,
  TRUST_DOMAINS,
  type VerifyingKey,
  verifyInDomain,
  verifyPacket,
} from "./signature.ts";
import { cutSignature } from "./signature-bytes.ts";
import { encode } from "./wire/encode.ts";

interface Signed {
  readonly name: string;
  readonly key: string;
  readonly packet_hex: string;
  readonly signed_bytes_hex: string;
  readonly cut_bytes_hex: string;
  readonly raw_bytes_verify: boolean;
  readonly verifies: { readonly raw_bytes_without_field_14: boolean; readonly go_reencode: boolean };
}
const file = JSON.parse(readFileSync(new URL("../../../test/vectors/signatures.json", import.meta.url), "utf8")) as {
  readonly keys: readonly {
    readonly sender_id: string;
    readonly private_pkcs8_pem_TEST_ONLY: string;
    readonly public_spki_pem: string;
  }[];
  readonly signed: readonly Signed[];
  readonly tampered: readonly Signed[];
  readonly unusual_but_valid: readonly Signed[];
  readonly signed_by_sdk: readonly Signed[];
};

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const named = (vectors: readonly Signed[]) => vectors.map((vector) => [vector.name, vector] as const);

function verifyingKey(name: string): VerifyingKey {
  const parsed = parseVerifyingKey(file.keys.find((key) => key.sender_id === name)?.public_spki_pem ?? "");
  if (parsed.kind !== "key") throw new Error(`no key ${name}`);
  return parsed.key;
}
function signingKey(name: string): SigningKey {
  const parsed = parseSigningKey(file.keys.find((key) => key.sender_id === name)?.private_pkcs8_pem_TEST_ONLY ?? "");
  if (parsed.kind !== "key") throw new Error(`no key ${name}`);
  return parsed.key;
}

describe("signature vectors", () => {
  it.each(named(file.signed))("verifies %s in the way its signer wrote", (name, vector) => {
    const way = name.startsWith("node-old/") ? "emptied" : "received";
    expect(verifyPacket(bytesOf(vector.packet_hex), verifyingKey(vector.key))).toEqual({ kind: "verified", way });
    const cut = cutSignature(bytesOf(vector.packet_hex));
    expect(hexOf(way === "emptied" ? cut.emptied : cut.unsigned)).toBe(vector.signed_bytes_hex);
  });

  it.each(named(file.signed.filter((vector) => vector.verifies.go_reencode)))(
    "re-encodes %s to the signed bytes",
    (_, vector) => {
      const { signature: _signature, ...unsigned } = decodePacket(bytesOf(vector.packet_hex));
      expect(hexOf(encode(BusPacket, unsigned))).toBe(vector.signed_bytes_hex);
    },
  );

  it.each(named(file.tampered))("refuses %s", (name, vector) => {
    const reason = name === "signature-missing" ? "missing" : "invalid";
    expect(verifyPacket(bytesOf(vector.packet_hex), verifyingKey(vector.key))).toEqual({ kind: "refused", reason });
  });

  it.each(named(file.unusual_but_valid))("accepts %s", (_, vector) => {
    expect(verifyPacket(bytesOf(vector.packet_hex), verifyingKey(vector.key))).toEqual({
      kind: "verified",
      way: "received",
    });
  });

  it.each(named(file.signed_by_sdk))("judges the real packet %s", (_, vector) => {
    const cut = cutSignature(bytesOf(vector.packet_hex));
    expect(hexOf(cut.unsigned)).toBe(vector.cut_bytes_hex);
    // Where the received bytes do not verify, the canonical ones may, by luck of the sender's map order.
    const verdict = verifyPacket(bytesOf(vector.packet_hex), verifyingKey(vector.key));
    expect(verdict.kind === "verified" && verdict.way === "received").toBe(vector.raw_bytes_verify);
  });
});

const packet = {
  traceId: "t",
  senderId: "cordum-scheduler",
  createdAt: { seconds: 1_767_225_600 },
  protocolVersion: 1,
  payload: { kind: "jobRequest", value: { jobId: "j", topic: "job.x", labels: { b: "2", a: "1" }, env: { k: "v" } } },
} as const;

describe("signing", () => {
  const sign = signingKey("go-worker");
  const check = verifyingKey("go-worker");

  it("signs canonical bytes and appends field 14", () => {
    const signed = signPacket(packet, sign);
    expect(hexOf(signed)).toMatch(new RegExp(`^${hexOf(encode(BusPacket, packet))}72`));
    expect(verifyPacket(signed, check)).toEqual({ kind: "verified", way: "received" });
    expect(verifyPacket(signed, verifyingKey("other"))).toEqual({ kind: "refused", reason: "invalid" });
  });

  it("replaces an earlier signature", () => {
    const twice = signPacket(decodePacket(signPacket(packet, signingKey("other"))), sign);
    expect(verifyPacket(twice, check)).toEqual({ kind: "verified", way: "received" });
  });

  it.each(["jobRequest", "jobProgress", "workerHandshakeResult"] as const)(
    "signs %s as old Node workers verify it",
    (kind) => {
      const signed = signPacket({ ...packet, authToken: "tok", payload: { kind, value: {} } }, sign, "node_legacy");
      expect(verifyPacket(signed, check)).toEqual({ kind: "verified", way: "emptied" });
      const numbers = kind === "jobRequest" ? /^0a.*52007248?.*920103746f6b$/ : /^0a.*72.*/;
      expect(hexOf(signed)).toMatch(numbers);
      expect(decodePacket(signed)).toMatchObject({ authToken: "tok", payload: { kind } });
    },
  );

  it("verifies a packet that a transport has reordered", () => {
    const cut = cutSignature(signPacket(packet, sign));
    const { payload, ...envelope } = packet;
    const reordered = Buffer.concat([
      encode(BusPacket, { payload }),
      encode(BusPacket, envelope),
      encode(BusPacket, { signature: cut.signature }),
    ]);
    expect(verifyPacket(reordered, check)).toEqual({ kind: "verified", way: "reencoded" });
  });

  it("binds a signature to its domain", () => {
    const signed = signInDomain(packet, TRUST_DOMAINS.challenge, sign);
    expect(verifyInDomain(signed, TRUST_DOMAINS.challenge, check)).toMatchObject({ kind: "verified" });
    expect(verifyInDomain(signed, TRUST_DOMAINS.result, check)).toEqual({ kind: "refused", reason: "invalid" });
    expect(verifyPacket(signed, check)).toEqual({ kind: "refused", reason: "invalid" });
    expect(verifyInDomain(encode(BusPacket, packet), TRUST_DOMAINS.result, check)).toEqual({
      kind: "refused",
      reason: "missing",
    });
  });

  it("calls bytes that are no packet malformed", () => {
    expect(verifyPacket(bytesOf("72ff"), check)).toEqual({ kind: "refused", reason: "malformed" });
    expect(verifyInDomain(bytesOf("0b"), "d", check)).toEqual({ kind: "refused", reason: "malformed" });
  });
});

describe("keys", () => {
  it("refuses another curve, another algorithm, and what is no key", () => {
    const other = generateKeyPairSync("ec", { namedCurve: "secp384r1" });
    expect(parseVerifyingKey(other.publicKey.export({ type: "spki", format: "pem" }).toString())).toEqual({
      kind: "refused",
      reason: "not_p256",
    });
    const ed = generateKeyPairSync("ed25519");
    expect(parseSigningKey(ed.privateKey.export({ type: "pkcs8", format: "pem" }).toString())).toMatchObject({
      reason: "not_p256",
    });
    expect(parseVerifyingKey("nonsense")).toEqual({ kind: "refused", reason: "unreadable" });
    expect(parseVerifyingKey(file.keys[0]?.private_pkcs8_pem_TEST_ONLY ?? "")).toEqual({
      kind: "refused",
      reason: "unreadable",
    });
  });

  it("reads SEC 1", () => {
    const pair = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    expect(parseSigningKey(pair.privateKey.export({ type: "sec1", format: "pem" }).toString()).kind).toBe("key");
  });
});
