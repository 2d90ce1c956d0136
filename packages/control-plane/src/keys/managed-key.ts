// A managed key: a credential that was made through the API and lies in State.
// Owns:          the record and every rule about its life.
// Must not know: State, HTTP, what roles allow, who may make keys.
// K1. At most two secrets are valid at a time: the newest, and after a rotation the one before it until its grace is over. A third is never
//     made silently: whoever rotates during a grace must end that grace.
// K2. A key that is revoked or has expired stays so. K3. Same key, event and time: same result.

import type { Json } from "../ports/json.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { readShape } from "../records/shape.ts";

export const KEY_KIND = "key";
export const KEY_SHAPE = 1;

export interface KeySecret {
  /** Lower-case hex SHA-256. */
  readonly hash: string;
  readonly createdAt: EpochMs;
  readonly validUntil: EpochMs | "never";
  /** Names the request that made it, so that a repeat of that request can replace it. */
  readonly request: string;
}

export interface KeyOwner {
  readonly tenant: string;
  readonly principal: string;
  /** Of the key that made this one; "" without one. */
  readonly keyId: string;
}

export interface ManagedKey {
  readonly shape: typeof KEY_SHAPE;
  readonly id: string;
  readonly name: string;
  /** Not empty; the first is the one that it works for unless a request names another. */
  readonly tenants: readonly string[];
  /** May name any tenant. */
  readonly allTenants: boolean;
  /** Names; what they allow is the gateway's matter. Not empty. */
  readonly roles: readonly string[];
  readonly principal: string;
  /** May say in whose name it calls. */
  readonly actsForOthers: boolean;
  readonly expiresAt: EpochMs | "never";
  readonly createdAt: EpochMs;
  readonly createdBy: KeyOwner;
  /** Newest first; one or two. */
  readonly secrets: readonly KeySecret[];
  readonly revokedAt: EpochMs | "never";
  /** When it ended, by revocation or expiry, as far as that is noted (tidy). Its secrets stay: who still presents one is recognised. */
  readonly endedAt: EpochMs | "never";
}

/** `principal` "" = the key itself. */
export type KeyWish = Pick<
  ManagedKey,
  "name" | "tenants" | "allTenants" | "roles" | "principal" | "actsForOthers" | "expiresAt"
>;

/** Longest grace: whoever needs more has two keys. */
export const GRACE_MS_MAX: Ms = 30 * 86_400_000;
/** A request that comes again within this time gets a new secret instead of that which it never received. */
export const REPEAT_MS: Ms = 600_000;

export interface NewSecret {
  readonly hash: string;
  readonly request: string;
}

export function makeKey(
  id: string,
  wish: KeyWish,
  by: { readonly owner: KeyOwner; readonly secret: NewSecret },
  now: EpochMs,
): ManagedKey {
  return {
    shape: KEY_SHAPE,
    id,
    ...wish,
    principal: wish.principal === "" ? `key:${id}` : wish.principal,
    createdAt: now,
    createdBy: by.owner,
    secrets: [{ ...by.secret, createdAt: now, validUntil: "never" }],
    revokedAt: "never",
    endedAt: "never",
  };
}

/** Neither revoked nor expired. */
export function isLive(key: ManagedKey, now: EpochMs): boolean {
  return key.revokedAt === "never" && isBefore(now, key.expiresAt);
}

/** Secrets by which the key can be used at `now`. */
export function validSecrets(key: ManagedKey, now: EpochMs): readonly KeySecret[] {
  return isLive(key, now) ? key.secrets.filter(({ validUntil }) => isBefore(now, validUntil)) : [];
}

export type Rotation =
  | { readonly kind: "rotated"; readonly next: ManagedKey }
  /** The same request made the newest secret a moment ago and asks again: that secret is replaced. */
  | { readonly kind: "repeated"; readonly next: ManagedKey }
  | { readonly kind: "not_live" }
  /** An earlier secret is valid until then. */
  | { readonly kind: "in_grace"; readonly until: EpochMs };

/** `graceMs` 0: all earlier secrets end now. */
export function rotate(key: ManagedKey, secret: NewSecret, graceMs: Ms, now: EpochMs): Rotation {
  if (!isLive(key, now)) return { kind: "not_live" };
  const made = { ...secret, createdAt: now, validUntil: "never" } as const;
  const repeated = repeat(key, secret, now);
  if (repeated !== undefined) return { kind: "repeated", next: repeated };
  const [newest, before] = validSecrets(key, now);
  if (graceMs <= 0 || newest === undefined) return { kind: "rotated", next: { ...key, secrets: [made] } };
  if (before !== undefined && before.validUntil !== "never") return { kind: "in_grace", until: before.validUntil };
  return { kind: "rotated", next: { ...key, secrets: [made, { ...newest, validUntil: now + graceMs }] } };
}

/** The key with its newest secret replaced, when `secret` comes from the request that made that one; else undefined. */
export function repeat(key: ManagedKey, secret: NewSecret, now: EpochMs): ManagedKey | undefined {
  const [newest, ...others] = key.secrets;
  if (newest === undefined || newest.request !== secret.request || secret.request === "") return undefined;
  if (!isLive(key, now) || now - newest.createdAt > REPEAT_MS) return undefined;
  return { ...key, secrets: [{ ...newest, hash: secret.hash }, ...others] };
}

/** Undefined: it is revoked already. A key that has expired can still be revoked. */
export function revoke(key: ManagedKey, now: EpochMs): ManagedKey | undefined {
  if (key.revokedAt !== "never") return undefined;
  return { ...key, revokedAt: now, endedAt: key.endedAt === "never" ? now : key.endedAt };
}

/** Without earlier secrets whose grace is over, and with its end noted; the same object when there is nothing to do. */
export function tidy(key: ManagedKey, now: EpochMs): ManagedKey {
  if (key.endedAt !== "never") return key;
  if (!isLive(key, now)) return { ...key, endedAt: key.expiresAt };
  const secrets = validSecrets(key, now);
  return secrets.length === key.secrets.length ? key : { ...key, secrets };
}

/** When somebody must look again: the end of a grace, or of the key. */
export function alarmOfKey(key: ManagedKey): EpochMs | "never" {
  if (key.endedAt !== "never") return "never";
  const times = [key.expiresAt, ...key.secrets.map(({ validUntil }) => validUntil)].filter((time) => time !== "never");
  return times.length === 0 ? "never" : Math.min(...times);
}

/** From then on nobody comes in with the key. */
export function endOfUse({ expiresAt, revokedAt }: ManagedKey): EpochMs | "never" {
  const ends = [expiresAt, revokedAt].filter((end) => end !== "never");
  return ends.length === 0 ? "never" : Math.min(...ends);
}

/** Throws on a shape that this process cannot read. */
export function parseManagedKey(value: Json): ManagedKey {
  return readShape(value, KEY_SHAPE, "key");
}

function isBefore(now: EpochMs, end: EpochMs | "never"): boolean {
  return end === "never" || now < end;
}
