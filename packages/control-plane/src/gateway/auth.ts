// Auth: from what a caller presents to who it is.
// Owns:          the set of accepted keys in memory; checking one in constant time; expiry.
// Must not know: where keys were configured, HTTP frames, what the caller wants.
// A1. A missing, unknown or expired key is one and the same fault. A2. The open mode exists only where the configuration asked for it
//     and holds no key at all.

import { timingSafeEqual } from "node:crypto";
import { Fault } from "../ports/fault.ts";
import type { EpochMs } from "../ports/time.ts";
import { type ApiKey, hashKey, keyIdOf, normaliseKey } from "./api-keys.ts";
import type { Identity } from "./identity.ts";

export interface Auth {
  /** Who `presented` (undefined: nothing was presented) stands for at `now`. Fault: UNAUTHENTICATED. */
  identify(presented: string | undefined, now: EpochMs): Identity;
}

const PRESENTED_CHARS_MAX = 1_024;

/** For a process without an API: nobody is known. */
export const NO_KEYS: Auth = {
  identify() {
    throw unauthenticated();
  },
};

/** Precondition: parseApiKeys had no faults. Without keys everybody is an admin of `openTenant`. */
export function createAuth(keys: readonly ApiKey[], openTenant: string): Auth {
  if (keys.length === 0) {
    const anybody: Identity = {
      tenant: openTenant,
      principal: "anonymous",
      role: "admin",
      allowCrossTenant: false,
      keyId: "",
    };
    return { identify: () => anybody };
  }
  // Found by a part of the hash, compared as a whole: an attacker cannot choose hashes, so which entry is found tells nothing.
  const entries = new Map<string, Entry[]>();
  for (const key of keys) {
    const id = keyIdOf(key.hash);
    const { tenant, principal, role, allowCrossTenant } = key;
    const entry: Entry = {
      digest: Buffer.from(key.hash, "hex"),
      expiresAt: key.expiresAt,
      identity: { tenant, principal, role, allowCrossTenant, keyId: id },
    };
    entries.set(id, [...(entries.get(id) ?? []), entry]);
  }
  return {
    identify(presented, now) {
      const key = presented === undefined || presented.length > PRESENTED_CHARS_MAX ? "" : normaliseKey(presented);
      const hashed = hashKey(key);
      const digest = Buffer.from(hashed, "hex");
      const found = entries.get(keyIdOf(hashed))?.find((entry) => timingSafeEqual(entry.digest, digest));
      if (found === undefined || (found.expiresAt !== "never" && now >= found.expiresAt)) throw unauthenticated();
      return found.identity;
    },
  };
}

interface Entry {
  readonly digest: Buffer;
  readonly expiresAt: EpochMs | "never";
  readonly identity: Identity;
}

function unauthenticated(): Fault {
  return new Fault("UNAUTHENTICATED", "present a valid API key in the header X-API-Key");
}
