// Refusals that somebody should be able to read back: logins that failed, and what a known caller was not allowed to do.
// Owns:          gathering them, and writing a bounded number of audit entries about any number of them.
// Must not know: why something was refused.
// V1. A request never waits for this: it is gathered in memory and written every few seconds. What is lost with a process is a few seconds.
// V2. Alike refusals are one entry with a count. A tenant gets so many entries an hour and no more, then one for all the others: whoever
//     knocks a million times fills no log and pushes nothing out of it.
// V3. A refusal of a known caller stands in the tenant of its credential, never in the tenant that it tried to reach. Strangers stand in the
//     operator's tenant (TENANT_ID). V4. Nothing that a stranger presented is written, not even its hash.

import { type Actor, type AuditEntry, auditChange } from "../audit/audit-entry.ts";
import type { Clock } from "../ports/clock.ts";
import { type Fault, type FaultCode, messageOf } from "../ports/fault.ts";
import { partitionOf } from "../ports/partition.ts";
import type { State } from "../ports/state.ts";
import type { Log } from "../ports/telemetry.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import type { Identity } from "./identity.ts";
import { TokenBuckets } from "./rate-limit.ts";

export interface Denial {
  readonly fault: Fault;
  /** Undefined: a stranger. */
  readonly identity: Identity | undefined;
  readonly address: string;
  /** Method and template. */
  readonly route: string;
}

export interface DenialParts {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Log;
  /** Where strangers are recorded. */
  readonly operatorTenant: string;
}

/** Of a batch's record, which is only there because a batch needs one. */
const KIND = "denied";
const KEEP_MS: Ms = 60_000;
const FLUSH_MS: Ms = 10_000;
const CALL_MS: Ms = 5_000;
const GROUPS_MAX = 1_000;
const ENTRIES_AT_ONCE = 100;
/** Some 1,700 entries a day and tenant at most: less than the log keeps of a year. */
const ENTRY_BUDGET = { rps: 1 / 60, burst: 30 };
const REST_BUDGET = { rps: 1 / 300, burst: 1 };
const TENANTS_MAX = 1_000;

const RECORDED: ReadonlySet<FaultCode> = new Set<FaultCode>([
  "UNAUTHENTICATED",
  "FORBIDDEN",
  "TENANT_FORBIDDEN",
  "SELF_APPROVAL_DENIED",
]);

interface Group {
  readonly tenant: string;
  readonly actor: Actor;
  readonly action: string;
  readonly of: AuditEntry["of"];
  readonly code: string;
  count: number;
  firstAt: EpochMs;
  lastAt: EpochMs;
  address: string;
}

export class Denials {
  readonly #parts: DenialParts;
  readonly #entries = new TokenBuckets(ENTRY_BUDGET, TENANTS_MAX);
  readonly #rests = new TokenBuckets(REST_BUDGET, TENANTS_MAX);
  #groups = new Map<string, Group>();

  constructor(parts: DenialParts) {
    this.#parts = parts;
  }

  /** Memory alone. */
  note(denial: Denial): void {
    if (!RECORDED.has(denial.fault.code)) return;
    const at = this.#parts.clock.now();
    const group = groupOf(denial, this.#parts.operatorTenant, at);
    const name = nameOf(group);
    this.#add(this.#groups.has(name) || this.#groups.size < GROUPS_MAX ? group : restOf(group));
  }

  /** Writes what was gathered, as far as the budget goes; the rest is kept in sum. What cannot be written is kept too. */
  async flush(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const mono = clock.mono();
    const gathered = [...this.#groups.values()];
    this.#groups = new Map();
    const due: Group[] = [];
    for (const group of gathered) {
      if (group.of.kind !== REST && this.#entries.take(`${group.action} ${group.tenant}`, mono) === 0) due.push(group);
      else this.#add(restOf(group));
    }
    for (const [name, group] of this.#groups) {
      if (this.#rests.take(nameOf(group), mono) !== 0) continue;
      this.#groups.delete(name);
      due.push(group);
    }
    for (let at = 0; at < due.length; at += ENTRIES_AT_ONCE) {
      const some = due.slice(at, at + ENTRIES_AT_ONCE);
      try {
        await this.#write(some, clock.deadline(signal, CALL_MS));
      } catch (error) {
        for (const group of due.slice(at)) this.#add(group);
        log.warn("denials.not_written", {
          count: due.length - at,
          reason: messageOf(error),
        });
        return;
      }
    }
  }

  /** Flushes every few seconds until `signal` fires. */
  async run(signal: AbortSignal): Promise<void> {
    while (await this.#parts.clock.sleep(FLUSH_MS, signal)) await this.flush(signal);
  }

  #add(group: Group): void {
    const name = nameOf(group);
    const known = this.#groups.get(name);
    if (known === undefined) {
      // Tenants of known callers and their rests are few; whatever exceeds even that is in the metrics.
      if (this.#groups.size < GROUPS_MAX * 2) this.#groups.set(name, { ...group });
      return;
    }
    known.count += group.count;
    known.firstAt = Math.min(known.firstAt, group.firstAt);
    known.lastAt = Math.max(known.lastAt, group.lastAt);
    known.address = group.address;
  }

  async #write(groups: readonly Group[], signal: AbortSignal): Promise<void> {
    const { state, clock } = this.#parts;
    const id = clock.id();
    const partition = partitionOf(id, state.traits.partitions);
    const key = { partition, kind: KIND, id };
    const put = { do: "put", key, value: groups.length, keepMs: KEEP_MS, wakeAt: "never" } as const;
    const changes = [put, ...groups.map((group) => auditChange(entryOf(group), partition))];
    await state.commit({ id: clock.id(), partition, checks: [{ is: "absent", key }], changes }, signal);
  }
}

const REST = "several";
const STRANGER = { principal: "unknown", role: "", keyId: "" } as const;

function groupOf({ fault, identity, address, route }: Denial, operatorTenant: string, at: EpochMs): Group {
  const isLogin = fault.code === "UNAUTHENTICATED";
  const tenant = identity?.tenant ?? operatorTenant;
  const { principal, role, keyId } = identity ?? STRANGER;
  return {
    tenant,
    actor: { tenant, principal, role, keyId },
    action: isLogin ? "login.failed" : "access.denied",
    of: isLogin ? { kind: "address", id: address } : { kind: "route", id: route },
    code: fault.code,
    count: 1,
    firstAt: at,
    lastAt: at,
    address,
  };
}

/** All refusals of a kind in a tenant, without their particulars. */
function restOf(group: Group): Group {
  const { tenant } = group;
  return { ...group, actor: { tenant, ...STRANGER, principal: REST }, of: { kind: REST, id: REST }, code: REST };
}

function nameOf({ tenant, action, actor, of, code }: Group): string {
  return JSON.stringify([tenant, action, actor.principal, actor.keyId, of.kind, of.id, code]);
}

function entryOf({
  tenant,
  actor,
  action,
  of,
  code,
  count,
  firstAt,
  lastAt,
  address,
}: Group): Omit<AuditEntry, "shape"> {
  const facts = { code, count, since: new Date(firstAt).toISOString(), address: of.kind === REST ? REST : address };
  return { at: lastAt, tenant, actor, action, of, reason: "", facts };
}
