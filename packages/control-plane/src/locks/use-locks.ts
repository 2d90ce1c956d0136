// Taking, keeping and giving back locks.
// Owns:          how a lock lies in State, its limits, the use cases.
// Must not know: HTTP, what a lock protects.
// K1. A lock lies in the partition of its own name; a change is one compare-and-set, and who loses a race looks again.
// K2. Tenants have locks of their own. K3. Taking another's hold away is an operator's act and is in the audit.

import { type Actor, auditChange } from "../audit/audit-entry.ts";
import { derivedUuid } from "../jobs/ids.ts";
import type { Clock } from "../ports/clock.ts";
import { Fault, invalidField } from "../ports/fault.ts";
import type { Json } from "../ports/json.ts";
import type { Change, Layout, State } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { listAcross } from "../records/across-partitions.ts";
import { RecordStore, type Seen } from "../records/record-store.ts";
import { readShape } from "../records/shape.ts";
import {
  acquire,
  at,
  forceRelease,
  freeLock,
  heldUntil,
  LOCK_SHAPE,
  type Lock,
  type LockMode,
  release,
  renew,
  type Turn,
} from "./lock.ts";

export const LOCK_KIND = "lock";
/** of tenant; score: when the last hold ends. */
const LOCK_INDEX = "lock.tenant";

export const LOCK_TTL_MS = { preset: 30_000, max: 3_600_000 } as const;
const RESOURCE_CHARS_MAX = 512;
const OWNER_CHARS_MAX = 256;
const CONFLICTS_MAX = 32;
/** A record outlives its last hold, so that it is still there when a late holder asks. */
const KEEP_MS = 3_600_000;

export interface LockParts {
  readonly state: State;
  readonly clock: Clock;
  readonly storeTimeoutMs: Ms;
}

export interface LockRequest {
  readonly tenant: string;
  readonly resource: string;
  readonly owner: string;
  readonly principal: string;
  readonly mode: LockMode;
  /** 0: the preset. */
  readonly ttlMs: Ms;
}

export function lockLayout(): Layout["indexes"] {
  return { [LOCK_INDEX]: { score: "time", keepMs: KEEP_MS } };
}

/** Faults: INVALID_REQUEST, LOCK_UNAVAILABLE, LOCK_CONTENDED, STATE_*. */
export async function acquireLock(request: LockRequest, parts: LockParts, signal: AbortSignal): Promise<Lock> {
  const ttlMs = checked(request);
  const lock = await change(request, parts, signal, (seen, now) => acquire(seen, request, { ...request, ttlMs }, now));
  if (lock === undefined) throw new Fault("LOCK_UNAVAILABLE", "lock unavailable");
  return lock;
}

/** Undefined: nobody holds the lock (any more). Faults: LOCK_NOT_HELD when others do and the caller does not. */
export async function releaseLock(
  request: LockRequest,
  parts: LockParts,
  signal: AbortSignal,
): Promise<Lock | undefined> {
  checked(request);
  const lock = await change(request, parts, signal, (seen, now) =>
    at(seen, now).holds.length === 0 ? { kind: "changed", next: at(seen, now) } : release(seen, request, now),
  );
  if (lock === undefined) throw notHeld();
  return lock.holds.length === 0 ? undefined : lock;
}

/** Fault LOCK_NOT_HELD: the hold has ended, or never was the caller's. */
export async function renewLock(request: LockRequest, parts: LockParts, signal: AbortSignal): Promise<Lock> {
  const ttlMs = checked(request);
  const lock = await change(request, parts, signal, (seen, now) => renew(seen, request, ttlMs, now));
  if (lock === undefined) throw notHeld();
  return lock;
}

/** Takes the owner's holds away, whoever took them. Undefined: nobody holds the lock now. Fault LOCK_NOT_HELD: that owner holds nothing. */
export async function breakLock(
  request: LockRequest & { readonly actor: Actor; readonly reason: string },
  parts: LockParts,
  signal: AbortSignal,
): Promise<Lock | undefined> {
  checked(request);
  const { actor, tenant, resource, owner, reason } = request;
  const note = (next: Lock, partition: number): readonly Change[] => [
    auditChange(
      {
        at: next.updatedAt,
        tenant,
        actor,
        action: "lock.break",
        of: { kind: LOCK_KIND, id: resource },
        reason,
        facts: { owner, token: next.token },
      },
      partition,
    ),
  ];
  const lock = await change(request, parts, signal, (seen, now) => forceRelease(seen, owner, now), note);
  if (lock === undefined) throw notHeld();
  return lock.holds.length === 0 ? undefined : lock;
}

/** Fault LOCK_NOT_FOUND: nobody holds it. */
export async function findLock(
  tenant: string,
  resource: string,
  { state, clock, storeTimeoutMs }: LockParts,
  signal: AbortSignal,
): Promise<Lock> {
  checkResource(resource);
  const seen = await storeOf({ state, clock }).load(idOf({ tenant, resource }), clock.deadline(signal, storeTimeoutMs));
  const lock = seen === undefined ? undefined : at(seen.record, clock.now());
  if (lock === undefined || lock.holds.length === 0) throw new Fault("LOCK_NOT_FOUND", "lock not found");
  return lock;
}

/** Up to `limit` held locks of the tenant, those that end first first. */
export async function listLocks(
  { tenant, limit }: { readonly tenant: string; readonly limit: number },
  { state, clock, storeTimeoutMs }: LockParts,
  signal: AbortSignal,
): Promise<readonly Lock[]> {
  const until = clock.deadline(signal, storeTimeoutMs);
  const now = clock.now();
  const lead = { index: LOCK_INDEX, of: [tenant] };
  const page = await listAcross(state, { lead, alsoIn: [], order: "up", min: now, limit, examineMax: limit }, until);
  const found = await storeOf({ state, clock }).loadMany(
    page.entries.map(({ member }) => member),
    until,
  );
  return found
    .flatMap((seen) => (seen === undefined ? [] : [at(seen.record, now)]))
    .filter(({ holds }) => holds.length > 0);
}

/** The lock after the turn; undefined when it was refused. */
async function change(
  { tenant, resource }: { readonly tenant: string; readonly resource: string },
  { state, clock, storeTimeoutMs }: LockParts,
  signal: AbortSignal,
  turn: (seen: Lock, now: EpochMs) => Turn,
  note: (next: Lock, partition: number) => readonly Change[] = () => [],
): Promise<Lock | undefined> {
  const store = storeOf({ state, clock });
  const id = idOf({ tenant, resource });
  const until = clock.deadline(signal, storeTimeoutMs);
  let seen: Seen<Lock> | undefined = await store.load(id, until);
  for (let attempt = 1; attempt <= CONFLICTS_MAX; attempt++) {
    const now = clock.now();
    const before = seen?.record ?? freeLock(tenant, resource, now);
    const turned = turn(before, now);
    if (turned.kind === "refused") return undefined;
    if (turned.next === before) return before;
    const also = note(turned.next, store.key(id).partition);
    const saved =
      seen === undefined
        ? await store.create(turned.next, { also }, until)
        : await store.replace(seen, turned.next, { also }, until);
    if (saved.kind === "committed") return turned.next;
    seen = saved.seen;
  }
  throw new Fault("LOCK_CONTENDED", "the lock is being changed by many at once");
}

function storeOf({ state, clock }: Pick<LockParts, "state" | "clock">): RecordStore<Lock> {
  return new RecordStore<Lock>(state, clock, {
    kind: LOCK_KIND,
    idOf: (lock) => idOf(lock),
    parse: parseLock,
    write: (lock) => lock as unknown as Json,
    entriesOf: (lock) =>
      lock.holds.length === 0 ? [] : [{ index: LOCK_INDEX, of: [lock.tenant], score: heldUntil(lock) }],
    alarmOf: () => "never",
    keepMsOf: (lock) => Math.max(0, heldUntil(lock) - clock.now()) + KEEP_MS,
  });
}

/** Resources are named freely; ids are not. */
function idOf({ tenant, resource }: Pick<Lock, "tenant" | "resource">): string {
  return derivedUuid("lock", tenant, resource);
}

function parseLock(value: Json): Lock {
  return readShape(value, LOCK_SHAPE, "lock");
}

/** The time to hold it for, in ms. Fault INVALID_REQUEST. */
function checked({ resource, owner, ttlMs }: LockRequest): Ms {
  if (resource === "" || owner === "")
    throw invalidField(resource === "" ? "resource" : "owner", "resource and owner required");
  checkResource(resource);
  if (owner.length > OWNER_CHARS_MAX) throw invalidField("owner", `owner too long (max ${OWNER_CHARS_MAX} chars)`);
  if (!owner.isWellFormed()) throw invalidField("owner", "owner must be text");
  if (ttlMs < 0) throw invalidField("ttl_ms", "ttl_ms must be non-negative");
  if (ttlMs > LOCK_TTL_MS.max) throw invalidField("ttl_ms", `ttl_ms too large (max ${LOCK_TTL_MS.max})`);
  return ttlMs === 0 ? LOCK_TTL_MS.preset : ttlMs;
}

function checkResource(resource: string): void {
  if (resource === "") throw invalidField("resource", "resource required");
  if (resource.length > RESOURCE_CHARS_MAX)
    throw invalidField("resource", `resource too long (max ${RESOURCE_CHARS_MAX} chars)`);
  if (!resource.isWellFormed()) throw invalidField("resource", "resource must be text");
}

function notHeld(): Fault {
  return new Fault("LOCK_NOT_HELD", "lock not held");
}
