// People, for tests.
// Owns:          who somebody is, as a credential would say.
// Must not know: single tests.

import type { Actor } from "../audit/audit-entry.ts";

export function person(principal: string, over: Partial<Actor> = {}): Actor {
  return { tenant: "acme", principal, role: "approver", keyId: "0123456789ab", ...over };
}
