// Auth: from what a caller presents to who it is.
// Owns:          the configured keys in memory; checking a secret; expiry; what a managed key stands for.
// Must not know: where keys were configured, HTTP frames, what the caller wants, how managed keys lie in State.
// A1. A missing, unknown, revoked or expired key is one and the same fault. A2. The open mode exists only where the configuration asked for it
//     and holds no key at all. A3. "State is away" is never "unknown": the caller hears 503 and keeps its key, also one
//     whose secret may be newer than what is remembered of its key.
// A4. Nothing that was presented is kept: memory holds hashes. A known key costs 4 µs of a request, nearly all of it the hash (0.4 µs
//     when nothing else runs): a table of plain secrets would save too little to be worth having them in memory.

import { timingSafeEqual } from "node:crypto";
import type { KnownKeys } from "../keys/known-keys.ts";
import { endOfUse, type ManagedKey } from "../keys/managed-key.ts";
import { hasSecretForm, keyIdOfSecret } from "../keys/secret.ts";
import { Fault } from "../ports/fault.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { type ApiKey, hashKey, keyIdOf, normaliseKey } from "./api-keys.ts";
import type { Identity } from "./identity.ts";
import { parseRole } from "./permissions.ts";

export interface Auth {
  /** Who `presented` (undefined: nothing was presented) stands for at `now`, from memory alone; undefined: ask `identify`.
   *  Fault: UNAUTHENTICATED. */
  recall(presented: string | undefined, now: EpochMs): Identity | undefined;
  /** As `recall`, and asks State where memory does not know. Faults: UNAUTHENTICATED, STATE_UNAVAILABLE. */
  identify(presented: string | undefined, now: EpochMs): Promise<Identity>;
  /** Whether the credential behind `identity` would still be let in: for connections that outlive a request. Cheap enough for every minute
   *  and socket. While State is away, what was valid a short time ago counts as valid. Never rejects. */
  stillValid(identity: Identity, now: EpochMs): Promise<boolean>;
}

/** What this process knows of managed keys. */
export interface ManagedKeys {
  readonly known: Pick<KnownKeys<KeyEntry>, "recall" | "load" | "isFresh">;
  /** The key was used. Memory alone. */
  note(keyId: string, at: EpochMs): void;
}

/** A managed key as it is checked. */
export interface KeyEntry {
  readonly endsAt: EpochMs | "never";
  readonly secrets: readonly SecretEntry[];
  /** When its use was noted last: once in a while is enough, and a request saves the time. */
  readonly use: { notedAt: EpochMs };
}

interface SecretEntry {
  readonly digest: Buffer;
  readonly validUntil: EpochMs | "never";
  readonly identity: Identity;
}

/** Last use is kept to the minute. */
const NOTE_EVERY_MS: Ms = 5_000;
const PRESENTED_CHARS_MAX = 1_024;

const NO_MANAGED_KEYS: ManagedKeys = {
  known: { recall: () => "absent", load: async () => undefined, isFresh: () => true },
  note: () => undefined,
};

/** Precondition: parseApiKeys had no faults. Without configured keys, and where that `isOpen`, everybody is an admin of `openTenant`. */
export function createAuth(
  keys: readonly ApiKey[],
  openTenant: string,
  {
    managed = NO_MANAGED_KEYS,
    isOpen = keys.length === 0,
  }: { readonly managed?: ManagedKeys; readonly isOpen?: boolean } = {},
): Auth {
  if (isOpen) return openDoor(openTenant);
  const configured = tableOf(keys);
  const recall: Auth["recall"] = (presented, now) => {
    const key = presented === undefined || presented.length > PRESENTED_CHARS_MAX ? "" : normaliseKey(presented);
    const hashed = hashKey(key);
    const keyId = keyIdOfSecret(key);
    const entry = keyId === undefined ? undefined : managed.known.recall(keyId);
    if (keyId !== undefined && entry !== undefined && entry !== "absent") {
      const isOther = matching(entry.secrets, Buffer.from(hashed, "hex")) === undefined;
      return isOther && !managed.known.isFresh(keyId) ? undefined : admitted(entry, hashed, now, managed);
    }
    const own = configured.find(hashed, now);
    if (own !== undefined) return own;
    if (keyId === undefined || entry === "absent" || !hasSecretForm(key)) throw unauthenticated();
    return undefined;
  };
  return {
    recall,
    async identify(presented, now) {
      const recalled = recall(presented, now);
      if (recalled !== undefined) return recalled;
      const key = normaliseKey(presented ?? "");
      const keyId = keyIdOfSecret(key) ?? "";
      const [entry, hashed] = [await managed.known.load(keyId), hashKey(key)];
      const isOther = entry !== undefined && matching(entry.secrets, Buffer.from(hashed, "hex")) === undefined;
      if (isOther && !managed.known.isFresh(keyId))
        throw new Fault(
          "STATE_UNAVAILABLE",
          "keys cannot be looked up at the moment, and what is remembered may be old",
        );
      return admitted(entry, hashed, now, managed);
    },
    async stillValid(identity, now) {
      const own = configured.byId(identity.keyId);
      if (own !== undefined) return isBefore(now, own);
      try {
        const entry = await managed.known.load(identity.keyId);
        return (
          entry !== undefined && secretsAt(entry, now).some((each) => each.identity.secretId === identity.secretId)
        );
      } catch {
        // Not heard of for minutes (known-keys.ts, N3): fail closed.
        return false;
      }
    },
  };
}

/** How a managed key is checked; roles that this process does not know give no right. */
export function entryOfKey(key: ManagedKey): KeyEntry {
  const [tenant = ""] = key.tenants;
  const roles = key.roles.flatMap((name) => parseRole(name) ?? []);
  const [role] = roles;
  if (role === undefined || tenant === "") return { endsAt: 0, secrets: [], use: { notedAt: 0 } };
  const { tenants, allTenants, principal, actsForOthers, id } = key;
  const common = { tenant, tenants, allowCrossTenant: allTenants, principal, roles, role, actsForOthers, keyId: id };
  return {
    endsAt: endOfUse(key),
    use: { notedAt: Number.NEGATIVE_INFINITY },
    secrets: key.secrets.map(({ hash, validUntil }) => ({
      digest: Buffer.from(hash, "hex"),
      validUntil,
      identity: { ...common, secretId: keyIdOf(hash) },
    })),
  };
}

function admitted(entry: KeyEntry | undefined, hashed: string, now: EpochMs, managed: ManagedKeys): Identity {
  if (entry === undefined) throw unauthenticated();
  const digest = Buffer.from(hashed, "hex");
  const found = matching(entry.secrets, digest);
  if (found === undefined) throw unauthenticated();
  if (!isBefore(now, entry.endsAt) || !isBefore(now, found.validUntil)) throw unauthenticated(found.identity);
  if (now - entry.use.notedAt >= NOTE_EVERY_MS) {
    entry.use.notedAt = now;
    managed.note(found.identity.keyId, now);
  }
  return found.identity;
}

function matching<E extends SecretEntry>(entries: readonly E[], digest: Buffer): E | undefined {
  for (const entry of entries) if (timingSafeEqual(entry.digest, digest)) return entry;
  return undefined;
}

function secretsAt(entry: KeyEntry, now: EpochMs): readonly SecretEntry[] {
  return isBefore(now, entry.endsAt) ? entry.secrets.filter(({ validUntil }) => isBefore(now, validUntil)) : [];
}

interface ConfiguredKeys {
  /** Fault UNAUTHENTICATED when it has expired. */
  find(hashed: string, now: EpochMs): Identity | undefined;
  /** When the key ends; undefined: there is no such key. */
  byId(keyId: string): EpochMs | "never" | undefined;
}

/** Found by the hash: an attacker cannot choose hashes, so how long it took to find one, or none, tells nothing. */
function tableOf(keys: readonly ApiKey[]): ConfiguredKeys {
  const entries = new Map<string, Pick<SecretEntry, "validUntil" | "identity">>();
  const endings = new Map<string, EpochMs | "never">();
  for (const key of keys) {
    const keyId = keyIdOf(key.hash);
    const { hash, tenant, principal, role, allowCrossTenant, actsForOthers, expiresAt } = key;
    const identity: Identity = {
      tenant,
      tenants: [tenant],
      allowCrossTenant,
      principal,
      roles: [role],
      role,
      actsForOthers,
      keyId,
      secretId: keyId,
    };
    entries.set(hash, { validUntil: expiresAt, identity });
    if (!endings.has(keyId)) endings.set(keyId, expiresAt);
  }
  return {
    find(hashed, now) {
      const entry = entries.get(hashed);
      if (entry !== undefined && !isBefore(now, entry.validUntil)) throw unauthenticated(entry.identity);
      return entry?.identity;
    },
    byId: (keyId) => endings.get(keyId),
  };
}

function openDoor(tenant: string): Auth {
  const anybody: Identity = {
    tenant,
    tenants: [tenant],
    allowCrossTenant: false,
    principal: "anonymous",
    roles: ["admin"],
    role: "admin",
    actsForOthers: false,
    keyId: "",
    secretId: "",
  };
  return { recall: () => anybody, identify: async () => anybody, stillValid: async () => true };
}

/** To a caller all of these look alike; whoever keeps the record of refusals sees that a key was ours once. */
export class Unauthenticated extends Fault {
  readonly formerly: Identity | undefined;

  constructor(formerly: Identity | undefined) {
    super("UNAUTHENTICATED", "present a valid API key in the header X-API-Key");
    this.formerly = formerly;
  }
}

function unauthenticated(formerly?: Identity): Unauthenticated {
  return new Unauthenticated(formerly);
}

function isBefore(now: EpochMs, end: EpochMs | "never"): boolean {
  return end === "never" || now < end;
}
