// Who is calling, and for which tenant.
// Owns:          the identity that a credential stands for; which tenant a request may name.
// Must not know: how a credential is checked, HTTP frames.
// I1. Tenant, principal and role come from the credential and from nothing else. I2. A request may name another tenant only where the
//     credential may cross tenants; naming one's own is always fine.

import { Fault } from "../ports/fault.ts";
import type { Role } from "./permissions.ts";

export interface Identity {
  readonly tenant: string;
  readonly principal: string;
  readonly role: Role;
  readonly allowCrossTenant: boolean;
  /** The first 12 hex digits of the key's hash; "" for a caller without a key. Fit for logs. */
  readonly keyId: string;
}

export interface Caller {
  readonly identity: Identity;
  /** The tenant that the request is for. */
  readonly tenant: string;
  /** The request named its tenant in a header, as clients of the later generation do: they expect some lists in an envelope. */
  readonly namesTenant: boolean;
}

/** Tenants as they may be named from outside: at most 128 characters, none of which has a meaning in ids or subjects. */
const TENANT_FORM = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

export function isTenantName(text: string): boolean {
  return TENANT_FORM.test(text);
}

/** The tenant to work for when a request names `named` ("" = names none). Fault: TENANT_FORBIDDEN. */
export function resolveTenant(caller: Pick<Caller, "identity" | "tenant">, named: string): string {
  if (named === "" || named === caller.tenant) return caller.tenant;
  if (!caller.identity.allowCrossTenant || !isTenantName(named)) {
    throw new Fault("TENANT_FORBIDDEN", "the key does not belong to this tenant");
  }
  return named;
}

/** The caller of a request with these tenant headers ("" = absent). Faults: TENANT_FORBIDDEN, INVALID_REQUEST. */
export function callerOf(
  identity: Identity,
  headers: { readonly tenantId: string; readonly cordumTenant: string },
): Caller {
  const { tenantId, cordumTenant } = headers;
  if (tenantId === "" && cordumTenant === "") return { identity, tenant: identity.tenant, namesTenant: false };
  if (tenantId !== "" && cordumTenant !== "" && tenantId !== cordumTenant) {
    const reason = "X-Tenant-ID and X-Cordum-Tenant name different tenants";
    throw new Fault("INVALID_REQUEST", reason, { fields: [{ field: "X-Tenant-ID", reason }] });
  }
  const own = { identity, tenant: identity.tenant };
  return { identity, tenant: resolveTenant(own, tenantId === "" ? cordumTenant : tenantId), namesTenant: true };
}
