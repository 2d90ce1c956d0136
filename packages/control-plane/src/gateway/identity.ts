// Who is calling, and for which tenant.
// Owns:          the identity that a credential stands for; which tenant and which principal a request may name.
// Must not know: how a credential is checked, HTTP frames.
// I1. Tenant, principal and roles come from the credential and from nothing else. I2. A request may name another tenant only where the
//     credential may work for it; naming one's own is always fine. I3. A request may say in whose name it calls (X-Principal-Id) only where
//     the credential may act for others; elsewhere what it says is ignored, as by servers that bind principals to keys. A role is never named.

import type { Actor } from "../audit/audit-entry.ts";
import { Fault, invalidField } from "../ports/fault.ts";
import type { Role } from "./permissions.ts";

export interface Identity {
  /** The tenant that is meant when a request names none. */
  readonly tenant: string;
  /** Tenants that a request may name; its own among them. */
  readonly tenants: readonly string[];
  /** It may name any tenant. */
  readonly allowCrossTenant: boolean;
  readonly principal: string;
  /** Not empty. */
  readonly roles: readonly Role[];
  /** The first of `roles`, for records that keep one. */
  readonly role: Role;
  readonly actsForOthers: boolean;
  /** Id of a managed key; the first 12 hex digits of the hash of a configured one; "" for a caller without a key. Fit for logs. */
  readonly keyId: string;
  /** Names the secret that was presented, of which a key may have two: the first 12 hex digits of its hash. Fit for logs. */
  readonly secretId: string;
}

export interface Caller {
  readonly identity: Identity;
  /** The tenant that the request is for. */
  readonly tenant: string;
  /** The request named its tenant in a header, as clients of the later generation do: they expect some lists in an envelope. */
  readonly namesTenant: boolean;
}

/** What a request says about its caller; "" = nothing. */
export interface Claims {
  readonly tenantId: string;
  readonly cordumTenant: string;
  readonly principalId: string;
}

/** Tenants as they may be named from outside: at most 128 characters, none of which has a meaning in ids or subjects. */
const TENANT_FORM = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
const PRINCIPAL_CHARS_MAX = 256;

export function isTenantName(text: string): boolean {
  return TENANT_FORM.test(text);
}

/** At most 256 characters, all of them printable. */
export function isPrincipalName(text: string): boolean {
  return text !== "" && text.length <= PRINCIPAL_CHARS_MAX && !/[\p{Cc}\p{Cs}]/u.test(text);
}

/** The tenant to work for when a request names `named` ("" = names none). Fault: TENANT_FORBIDDEN. */
export function resolveTenant(caller: Pick<Caller, "identity" | "tenant">, named: string): string {
  if (named === "" || named === caller.tenant) return caller.tenant;
  const { tenants, allowCrossTenant } = caller.identity;
  if (!isTenantName(named) || (!allowCrossTenant && !tenants.includes(named))) {
    throw new Fault("TENANT_FORBIDDEN", "the key does not belong to this tenant");
  }
  return named;
}

/** The caller of a request. Faults: TENANT_FORBIDDEN, INVALID_REQUEST. */
export function callerOf(identity: Identity, claims: Claims): Caller {
  const { tenantId, cordumTenant } = claims;
  const acting = actingFor(identity, claims.principalId);
  if (tenantId === "" && cordumTenant === "") return { identity: acting, tenant: identity.tenant, namesTenant: false };
  if (tenantId !== "" && cordumTenant !== "" && tenantId !== cordumTenant) {
    const reason = "X-Tenant-ID and X-Cordum-Tenant name different tenants";
    throw invalidField("X-Tenant-ID", reason);
  }
  const own = { identity: acting, tenant: identity.tenant };
  return { ...own, tenant: resolveTenant(own, tenantId === "" ? cordumTenant : tenantId), namesTenant: true };
}

/** The caller as records name it. */
export function actorOf({ identity }: Caller): Actor {
  const { tenant, principal, role, keyId } = identity;
  return { tenant, principal, role, keyId };
}

function actingFor(identity: Identity, principal: string): Identity {
  if (principal === "" || !identity.actsForOthers) return identity;
  if (isPrincipalName(principal)) return { ...identity, principal };
  const reason = "X-Principal-Id must be 1 to 256 printable characters";
  throw invalidField("X-Principal-Id", reason);
}
