// What people do with managed keys: make, look at, rotate, revoke.
// Owns:          who may do that to which key; the audit entry of each change.
// Must not know: HTTP, what a role allows (the manager says which roles it may give away).
// M1. Nobody gives away more than they have: not another tenant, not a role with a right that they lack. M2. A key that reaches further than
//     its manager does not exist for that manager: it is in no list, and every question about it is answered as for one that is not there.
// M3. The secret leaves once, in the answer of the call that made it. A repeat of that call gets another secret instead of the first.
// M4. Each change and its audit entry are one commit, an entry in every tenant that the key works for. M5. A tenant has a bounded number of keys.

import { hash } from "node:crypto";
import { type Actor, auditChange } from "../audit/audit-entry.ts";
import type { Bus } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { Change, Position, State } from "../ports/state.ts";
import type { Log } from "../ports/telemetry.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { countAcross, listAcross } from "../records/across-partitions.ts";
import type { Seen } from "../records/record-store.ts";
import { KEY_INDEX } from "./key-indexes.ts";
import { announceKey } from "./key-news.ts";
import { type KeyStore, openKeyStore } from "./key-store.ts";
import { lastUses } from "./last-use.ts";
import { type KeyWish, type ManagedKey, makeKey, repeat, revoke, rotate } from "./managed-key.ts";
import { hashSecret, isKeyId, keyIdFor, newKeyId, newSecret } from "./secret.ts";

export interface ManageParts {
  readonly state: State;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly keys: KeyStore;
  /** What this process remembers of the key counts no more. */
  readonly forget: (keyId: string) => void;
}

/** The keys of this State, for whoever looks them up. */
export function openKeys(state: State, clock: Clock): KeyStore {
  return openKeyStore(state, clock);
}

/** Who manages, and what it could give away. */
export interface Manager {
  readonly actor: Actor;
  /** The tenant that it works for now. */
  readonly tenant: string;
  readonly tenants: readonly string[];
  readonly allTenants: boolean;
  readonly mayGive: (role: string) => boolean;
  readonly mayLetActForOthers: boolean;
}

export interface KeyView {
  readonly key: ManagedKey;
  readonly lastUsedAt: EpochMs | undefined;
}
export interface MadeSecret {
  readonly key: ManagedKey;
  /** To be shown once. */
  readonly secret: string;
}
export interface KeyPage {
  readonly items: readonly KeyView[];
  readonly next?: Position;
}

export const KEYS_PER_TENANT_MAX = 1_000;
const CONFLICTS_MAX = 8;

/** `idempotencyKey` "" = none. Faults: TENANT_FORBIDDEN, FORBIDDEN, KEY_LIMIT, IDEMPOTENCY_CONFLICT, STATE_*. */
export async function createKey(
  wish: KeyWish,
  by: { readonly manager: Manager; readonly idempotencyKey: string },
  parts: ManageParts,
  signal: AbortSignal,
): Promise<MadeSecret> {
  const { manager, idempotencyKey } = by;
  refuseMore(wish, manager);
  await refuseTooMany(wish.tenants, parts.state, signal);
  const request = requestOf("create", JSON.stringify(wish), by);
  const id = idempotencyKey === "" ? newKeyId(parts.clock) : keyIdFor(requestOf("create", "", by));
  const secret = newSecret(id, parts.clock);
  const made = { hash: hashSecret(secret), request };
  const { tenant, principal, keyId } = manager.actor;
  const key = makeKey(id, wish, { owner: { tenant, principal, keyId }, secret: made }, parts.clock.now());
  const also = entriesFor(key, { action: "key.create", reason: "", facts: factsOf(key) }, manager, parts);
  const created = await parts.keys.create(key, { also }, signal);
  if (created.kind === "conflict") {
    const again = await change(id, parts, signal, (seen, now) => {
      const next = repeat(seen, made, now);
      if (next === undefined)
        throw new Fault(
          "IDEMPOTENCY_CONFLICT",
          "a key was already made with this idempotency key; its secret was shown then",
        );
      return { next, also: entriesFor(next, { action: "key.create", reason: "repeated", facts: {} }, manager, parts) };
    });
    return { key: again, secret };
  }
  parts.log.info("key.created", { keyId: id, by: principal, roles: key.roles });
  await afterwards(id, parts, signal);
  return { key, secret };
}

/** `graceMs`: how long the secret before stays valid; 0 ends all at once. Faults: KEY_NOT_FOUND, KEY_ENDED, KEY_IN_GRACE, STATE_*. */
export async function rotateKey(
  id: string,
  by: { readonly manager: Manager; readonly idempotencyKey: string; readonly graceMs: Ms; readonly reason: string },
  parts: ManageParts,
  signal: AbortSignal,
): Promise<MadeSecret> {
  const { manager, graceMs, reason } = by;
  await loadKey(id, manager, parts, signal);
  const secret = newSecret(id, parts.clock);
  const request = by.idempotencyKey === "" ? "" : requestOf("rotate", `${id} ${graceMs}`, by);
  const key = await change(id, parts, signal, (seen, now) => {
    const rotation = rotate(seen, { hash: hashSecret(secret), request }, graceMs, now);
    if (rotation.kind === "not_live") throw new Fault("KEY_ENDED", "the key is revoked or has expired; make a new one");
    if (rotation.kind === "in_grace") {
      const until = new Date(rotation.until).toISOString();
      throw new Fault(
        "KEY_IN_GRACE",
        `an earlier secret of this key is valid until ${until}; wait, or rotate with a grace of 0, which ends it now`,
      );
    }
    const facts = { graceMs, repeated: rotation.kind === "repeated" };
    return { next: rotation.next, also: entriesFor(seen, { action: "key.rotate", reason, facts }, manager, parts) };
  });
  parts.log.info("key.rotated", { keyId: id, by: manager.actor.principal });
  await afterwards(id, parts, signal);
  return { key, secret };
}

/** Revoking what is revoked changes nothing. Faults: KEY_NOT_FOUND, STATE_*. */
export async function revokeKey(
  id: string,
  by: { readonly manager: Manager; readonly reason: string },
  parts: ManageParts,
  signal: AbortSignal,
): Promise<ManagedKey> {
  const { manager, reason } = by;
  await loadKey(id, manager, parts, signal);
  const key = await change(id, parts, signal, (seen, now) => {
    const next = revoke(seen, now);
    if (next === undefined) return undefined;
    return { next, also: entriesFor(seen, { action: "key.revoke", reason, facts: {} }, manager, parts) };
  });
  parts.log.info("key.revoked", { keyId: id, by: manager.actor.principal });
  await afterwards(id, parts, signal);
  return key;
}

/** Fault KEY_NOT_FOUND. */
export async function getKey(id: string, manager: Manager, parts: ManageParts, signal: AbortSignal): Promise<KeyView> {
  const { record } = await loadKey(id, manager, parts, signal);
  const [lastUsedAt] = await lastUses([id], parts.state, signal);
  return { key: record, lastUsedAt };
}

export interface KeyQuery {
  readonly which: "live" | "ended";
  readonly limit: number;
  readonly after?: Position;
}

/** Keys of the manager's tenant, newest first. A page may be short; `next` goes on. */
export async function listKeys(
  query: KeyQuery,
  manager: Manager,
  parts: ManageParts,
  signal: AbortSignal,
): Promise<KeyPage> {
  const { which, limit, after } = query;
  const page = await listAcross(
    parts.state,
    {
      lead: { index: KEY_INDEX[which], of: [manager.tenant] },
      alsoIn: [],
      order: "down",
      limit,
      examineMax: limit * 4,
      ...(after === undefined ? {} : { after }),
    },
    signal,
  );
  const found = await parts.keys.loadMany(
    page.entries.map(({ member }) => member),
    signal,
  );
  const keys = found.flatMap((seen) => (seen !== undefined && isSeenBy(manager, seen.record) ? [seen.record] : []));
  const uses = await lastUses(
    keys.map(({ id }) => id),
    parts.state,
    signal,
  );
  const items = keys.map((key, at) => ({ key, lastUsedAt: uses[at] }));
  return { items, ...(page.next === undefined ? {} : { next: page.next }) };
}

/** Whether State has a key that somebody could come in with. */
export async function hasLiveKeys(state: State, signal: AbortSignal): Promise<boolean> {
  const [count] = await countAcross(state, [{ index: KEY_INDEX.all, of: [] }], signal);
  return (count ?? 0) > 0;
}

function isSeenBy(manager: Manager, key: ManagedKey): boolean {
  return key.tenants.includes(manager.tenant) && reaches(manager, key);
}

function reaches(manager: Manager, { tenants, allTenants, roles, actsForOthers }: KeyWish): boolean {
  if (!manager.allTenants && (allTenants || !tenants.every((tenant) => manager.tenants.includes(tenant)))) return false;
  return roles.every(manager.mayGive) && (!actsForOthers || manager.mayLetActForOthers);
}

function refuseMore(wish: KeyWish, manager: Manager): void {
  const { tenants, allTenants, roles } = wish;
  if (!manager.allTenants && (allTenants || !tenants.every((tenant) => manager.tenants.includes(tenant))))
    throw new Fault("TENANT_FORBIDDEN", "a key cannot make keys for tenants that it does not belong to");
  if (!tenants.includes(manager.tenant))
    throw new Fault(
      "TENANT_FORBIDDEN",
      `a key is made in one of its tenants; this request works for ${manager.tenant}`,
    );
  const missing = roles.find((role) => !manager.mayGive(role));
  if (missing !== undefined)
    throw new Fault("FORBIDDEN", `a key with rights beyond one's own cannot be made: role ${missing}`);
  if (wish.actsForOthers && !manager.mayLetActForOthers)
    throw new Fault("FORBIDDEN", "this key may not make keys that act for others");
}

/** Counted before, not in the commit: keys lie in many partitions, and a few more than the limit do no harm. */
async function refuseTooMany(tenants: readonly string[], state: State, signal: AbortSignal): Promise<void> {
  const counts = await countAcross(
    state,
    tenants.map((tenant) => ({ index: KEY_INDEX.live, of: [tenant] })),
    signal,
  );
  const at = counts.findIndex((count) => count >= KEYS_PER_TENANT_MAX);
  if (at !== -1)
    throw new Fault("KEY_LIMIT", `a tenant has at most ${KEYS_PER_TENANT_MAX} live keys; revoke some first`);
}

async function loadKey(
  id: string,
  manager: Manager,
  { keys }: ManageParts,
  signal: AbortSignal,
): Promise<Seen<ManagedKey>> {
  const seen = isKeyId(id) ? await keys.load(id, signal) : undefined;
  if (seen === undefined || !isSeenBy(manager, seen.record)) throw new Fault("KEY_NOT_FOUND", "no such key");
  return seen;
}

interface Step {
  readonly next: ManagedKey;
  readonly also: readonly Change[];
}

/** Who loses a race decides again from what is there now. `step` gives undefined when there is nothing to do. */
async function change(
  id: string,
  { keys, clock }: ManageParts,
  signal: AbortSignal,
  step: (key: ManagedKey, now: EpochMs) => Step | undefined,
): Promise<ManagedKey> {
  let seen = await keys.load(id, signal);
  for (let attempt = 1; attempt <= CONFLICTS_MAX && seen !== undefined; attempt++) {
    const stepped = step(seen.record, clock.now());
    if (stepped === undefined) return seen.record;
    const saved = await keys.replace(seen, stepped.next, { also: stepped.also }, signal);
    if (saved.kind === "committed") return saved.seen.record;
    seen = saved.seen;
  }
  if (seen === undefined) throw new Fault("KEY_NOT_FOUND", "no such key");
  throw new Fault("KEY_CONTENDED", "the key is being changed by many at once");
}

async function afterwards(id: string, parts: ManageParts, signal: AbortSignal): Promise<void> {
  parts.forget(id);
  await announceKey(id, parts, signal);
}

function entriesFor(
  key: ManagedKey,
  told: {
    readonly action: string;
    readonly reason: string;
    readonly facts: { readonly [name: string]: string | number | boolean };
  },
  manager: Manager,
  { keys, clock }: ManageParts,
): readonly Change[] {
  const { partition } = keys.key(key.id);
  const entry = { at: clock.now(), actor: manager.actor, of: { kind: "key", id: key.id }, ...told };
  return key.tenants.map((tenant) => auditChange({ ...entry, tenant }, partition));
}

function factsOf(key: ManagedKey): { readonly [name: string]: string | number | boolean } {
  return {
    name: key.name,
    roles: key.roles.join(","),
    principal: key.principal,
    allTenants: key.allTenants,
    actsForOthers: key.actsForOthers,
    expiresAt: key.expiresAt === "never" ? "never" : new Date(key.expiresAt).toISOString(),
  };
}

/** Names a request by who sends it and its idempotency key; "" for one without. */
function requestOf(
  verb: string,
  body: string,
  by: { readonly manager: Manager; readonly idempotencyKey: string },
): string {
  if (by.idempotencyKey === "") return "";
  const { actor, tenant } = by.manager;
  const cause = [verb, tenant, actor.principal, actor.keyId, by.idempotencyKey, body];
  return hash("sha256", JSON.stringify(cause), "hex");
}
