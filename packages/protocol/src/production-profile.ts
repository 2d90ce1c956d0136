// The CAP-PRODUCTION profile (CAP 2.15): packets that prove sender, tenant, audience and freshness.
// Owns:          the closed grammar of the envelope, the digest, the claims and their mirrors.
// Must not know: where keys come from, who remembers message ids (the caller, until `expiresAt`: same id and digest = repeated, ack
//                without effect; same id and another digest = refuse), which dispatch of a job is current.

import { createHash } from "node:crypto";
import { BusPacket, type IdentityBinding } from "./gen/agent.ts";
import { PACKET_LIMITS } from "./packet.ts";
import { domainBytes, type SigningKey, signInDomain, type VerifyingKey, verifyInDomain } from "./signature.ts";
import { cutSignature } from "./signature-bytes.ts";
import { decode } from "./wire/decode.ts";
import { Reader } from "./wire/reader.ts";
import type { Init } from "./wire/schema.ts";
import { epochMsOf } from "./wire/timestamp.ts";
import { WireError } from "./wire/wire-error.ts";

export const PRODUCTION_PROFILE = "cap-production-v1";
export const PRODUCTION_ALGORITHM = "ECDSA-P256-SHA256";
const DOMAIN = "CAP-PRODUCTION-SIGNATURE-V1";
const MESSAGE_ID_BYTES = 16;

export interface ProductionExpectation {
  /** The subject on which the packet came. */
  readonly audience: string;
  readonly tenant: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** How far ahead an expiry may lie. */
  readonly lifetimeMaxMs: number;
  keyOf(of: { readonly tenant: string; readonly sender: string; readonly keyId: string }): VerifyingKey | undefined;
}

export type ProductionRefusal =
  | "malformed"
  | "unknown_field"
  | "duplicate_field"
  | "not_minimal"
  | "payload_count"
  | "version"
  | "metadata"
  | "audience_mismatch"
  | "tenant_mismatch"
  | "expired"
  | "lifetime_too_long"
  | "identity_mismatch"
  | "unknown_key"
  | "signature_invalid";

export type ProductionVerification =
  | {
      readonly kind: "verified";
      readonly packet: BusPacket;
      readonly messageId: Uint8Array;
      /** SHA-256 of what was signed: tells a repeated packet from another one with the same message id. */
      readonly digest: Uint8Array;
      /** Milliseconds since 1970. */
      readonly expiresAt: number;
    }
  | { readonly kind: "refused"; readonly reason: ProductionRefusal };

/** Checks a received packet. Never throws on bytes. */
export function verifyProduction(bytes: Uint8Array, expected: ProductionExpectation): ProductionVerification {
  try {
    const fault = grammarFault(bytes);
    if (fault !== undefined) return { kind: "refused", reason: fault };
    return verifyClaims(bytes, decode(BusPacket, bytes, PACKET_LIMITS), expected);
  } catch (error) {
    if (error instanceof WireError) return { kind: "refused", reason: "malformed" };
    throw error;
  }
}

/** Signs a packet that already carries its metadata and identity. Throws WireError `bad_value`. */
export function signProduction(packet: Init<BusPacket>, key: SigningKey): Uint8Array {
  return signInDomain(packet, DOMAIN, key);
}

function grammarFault(bytes: Uint8Array): ProductionRefusal | undefined {
  const reader = new Reader(bytes);
  const seen = new Set<number>();
  let payloads = 0;
  while (reader.at < reader.end) {
    const start = reader.at;
    const tag = reader.tag();
    const field = BusPacket.byNumber[tag >>> 3];
    if (field === undefined || field.tag !== tag) return "unknown_field";
    if (seen.has(field.no)) return "duplicate_field";
    seen.add(field.no);
    if (field.oneof !== undefined) payloads++;
    const behindTag = reader.at;
    reader.skip(tag, 1);
    if (!isMinimal(bytes, start) || !isMinimal(bytes, behindTag)) return "not_minimal";
  }
  return payloads === 1 ? undefined : "payload_count";
}

/** A varint of more than one byte that ends in zero could be shorter. */
function isMinimal(bytes: Uint8Array, start: number): boolean {
  let at = start;
  while ((bytes[at] ?? 0) >= 0x80) at++;
  return at === start || bytes[at] !== 0;
}

function verifyClaims(bytes: Uint8Array, packet: BusPacket, expected: ProductionExpectation): ProductionVerification {
  const { signatureMetadata: metadata, identity } = packet;
  const refuse = (reason: ProductionRefusal): ProductionVerification => ({ kind: "refused", reason });
  if (packet.protocolVersion !== 1) return refuse("version");
  if (metadata?.profileVersion !== PRODUCTION_PROFILE || metadata.algorithm !== PRODUCTION_ALGORITHM)
    return refuse("metadata");
  if (metadata.messageId.length !== MESSAGE_ID_BYTES || metadata.keyId === "" || packet.senderId === "")
    return refuse("metadata");
  if (metadata.audience !== expected.audience) return refuse("audience_mismatch");
  const expiresAt = metadata.expiresAt === undefined ? undefined : epochMsOf(metadata.expiresAt);
  if (expiresAt === undefined) return refuse("metadata");
  if (expiresAt <= expected.now) return refuse("expired");
  if (expiresAt - expected.now > expected.lifetimeMaxMs) return refuse("lifetime_too_long");
  if (identity === undefined || identity.tenantId === "" || identity.tenantId !== expected.tenant)
    return refuse("tenant_mismatch");
  if (!mirrorsAgree(packet, identity)) return refuse("identity_mismatch");
  const key = expected.keyOf({ tenant: identity.tenantId, sender: packet.senderId, keyId: metadata.keyId });
  if (key === undefined) return refuse("unknown_key");
  if (verifyInDomain(bytes, DOMAIN, key).kind !== "verified") return refuse("signature_invalid");
  return { kind: "verified", packet, messageId: metadata.messageId, digest: digestOf(bytes), expiresAt };
}

function digestOf(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(domainBytes(DOMAIN)).update(cutSignature(bytes).unsigned).digest();
}

function mirrorsAgree({ payload, senderId }: BusPacket, identity: IdentityBinding): boolean {
  if (payload === undefined) return false;
  switch (payload.kind) {
    case "jobRequest": {
      const { tenantId, principalId, meta } = payload.value;
      if (tenantId !== identity.tenantId || principalId !== identity.principalId) return false;
      if (meta !== undefined && (meta.tenantId !== identity.tenantId || meta.actorId !== identity.actorId))
        return false;
      return isSame(payload.value.identity, identity);
    }
    case "jobResult":
      return payload.value.workerId === senderId && isSame(payload.value.identity, identity);
    case "jobProgress":
    case "jobCancel":
      return isSame(payload.value.identity, identity);
    default:
      return true; // no mirror in the other payloads
  }
}

function isSame(mirror: IdentityBinding | undefined, identity: IdentityBinding): boolean {
  return (
    mirror?.tenantId === identity.tenantId &&
    mirror.principalId === identity.principalId &&
    mirror.actorId === identity.actorId &&
    mirror.delegationId === identity.delegationId
  );
}
