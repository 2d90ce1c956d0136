// What is configured for jobs, in the memory of this process.
// Owns:          a bounded picture of documents by tenant; when it is read again; what is merged for jobs that share their layers.
// Must not know: what is done with it.
// F1. What is fresh is answered from memory. What is in use is read again before it goes stale, so that no job waits for that.
// F2. A change counts everywhere after FRESH_MS at the latest, and at once where the news of it arrives.
// F3. What cannot be read is not "nothing": whoever needs it waits, or gets the store's fault.
// F4. A tenant without documents of its own for teams, workflows and steps costs its jobs one look into a map, whatever they name.
// F5. What was read while news of it came is not remembered; what is of others is, however many changes somebody makes.
// F6. A document that has not changed stays the same object, so that what was made of it stays.

import type { Clock } from "../ports/clock.ts";
import { Fault, messageOf } from "../ports/fault.ts";
import type { Span, State } from "../ports/state.ts";
import type { Log } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import { putNewest } from "../records/newest.ts";
import type { Seen } from "../records/record-store.ts";
import { type ConfigStore, configId, scopeIndex } from "./config-store.ts";
import { type ConfigAddress, type ConfigDocument, SYSTEM_LAYER_ID, SYSTEM_TOPICS_ID } from "./document.ts";
import { type Effective, effectiveOf, type Subject } from "./effective.ts";

export const FRESH_MS: Ms = 10_000;
export const REFRESH_MS: Ms = 4_000;
const READ_MS: Ms = 2_000;
const TENANTS_MAX = 4_096;
const NARROW_MAX = 1_024;
/** Tenants or subjects that are read in one call. */
const AT_ONCE = 64;
/** News that come faster than reads would keep a job for ever. */
const ATTEMPTS_MAX = 8;

const NARROW_SCOPES = ["team", "workflow", "step"] as const;
const SYSTEM: readonly ConfigAddress[] = [
  { tenant: "", scope: "system", scopeId: SYSTEM_LAYER_ID },
  { tenant: "", scope: "system", scopeId: SYSTEM_TOPICS_ID },
];

type Read = Seen<ConfigDocument> | undefined;
/** Documents that are read together; the list is the same as long as none of them changes. */
interface Known {
  readonly reads: readonly Read[];
  at: Ms;
}
/** What holds for jobs, made of the system's documents, those below, and those of `known`. */
interface Merged {
  readonly known: Known;
  from: readonly (readonly Read[])[];
  effective: Effective;
  isUsed: boolean;
}
interface OfTenant extends Merged {
  /** It has no documents for teams, workflows and steps. */
  readonly isPlain: boolean;
  readonly has: { readonly [scope in (typeof NARROW_SCOPES)[number]]: boolean };
}
interface OfSubject extends Merged {
  readonly subject: Subject;
}
interface Wanted {
  readonly tenants: readonly string[];
  readonly subjects: readonly Subject[];
}

interface Answer {
  readonly found: readonly Read[];
  readonly counts: readonly number[];
  readonly overruled: ReadonlySet<string>;
}

export interface EffectiveConfigParts {
  readonly state: State;
  readonly store: Pick<ConfigStore, "loadMany">;
  readonly clock: Clock;
  readonly log: Log;
}

export class EffectiveConfigs {
  readonly #parts: EffectiveConfigParts;
  #system: Known = { reads: [], at: LONG_AGO };
  readonly #tenants = new Map<string, OfTenant>();
  readonly #subjects = new Map<string, OfSubject>();
  readonly #reading = new Map<string, Promise<void>>();
  /** For each read under way, of whom news have come since it began: tenants, "" for the system, "*" for all. */
  readonly #overruled = new Set<Set<string>>();

  constructor(parts: EffectiveConfigParts) {
    this.#parts = parts;
  }

  /** From memory, for a tenant where nothing depends on team, workflow or step; undefined: ask `find`. */
  findPlain(tenant: string): Effective | undefined {
    const found = this.#tenant(tenant, this.#parts.clock.mono());
    return found?.isPlain === true ? found.effective : undefined;
  }

  /** From memory; undefined when State has to be asked. */
  find(subject: Subject): Effective | undefined {
    const mono = this.#parts.clock.mono();
    const ofTenant = this.#tenant(subject.tenant, mono);
    if (ofTenant === undefined) return undefined;
    const narrow = narrowed(subject, ofTenant);
    if (narrow === undefined) return ofTenant.effective;
    const found = this.#subjects.get(nameOf(narrow));
    if (found === undefined || mono - found.known.at >= FRESH_MS) return undefined;
    return this.#upToDate(found, [this.#system.reads, ofTenant.known.reads, found.known.reads], subject.tenant);
  }

  /** As `find`, after a read where one is needed. Faults: STATE_*, CONFIG_CONTENDED. */
  async load(subject: Subject): Promise<Effective> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const found = this.find(subject);
      if (found !== undefined) return found;
      const ofTenant = this.#tenant(subject.tenant, this.#parts.clock.mono());
      const narrow = ofTenant === undefined ? undefined : narrowed(subject, ofTenant);
      const wanted =
        narrow === undefined ? { tenants: [subject.tenant], subjects: [] } : { tenants: [], subjects: [narrow] };
      await this.#readOnce(narrow === undefined ? subject.tenant : nameOf(narrow), wanted);
    }
    throw new Fault("CONFIG_CONTENDED", "configuration is being changed by many at once");
  }

  forget({ tenant, scope }: ConfigAddress): void {
    for (const overruled of this.#overruled) overruled.add(tenant);
    if (scope === "system") this.#system.at = LONG_AGO;
    const ofTenant = this.#tenants.get(tenant);
    if (ofTenant !== undefined) ofTenant.known.at = LONG_AGO;
    for (const { subject, known } of this.#subjects.values()) if (subject.tenant === tenant) known.at = LONG_AGO;
  }

  /** News may have been missed. */
  doubt(): void {
    for (const overruled of this.#overruled) overruled.add("*");
    this.#system.at = LONG_AGO;
    for (const { known } of this.#tenants.values()) known.at = LONG_AGO;
    for (const { known } of this.#subjects.values()) known.at = LONG_AGO;
  }

  /** Keeps fresh what is in use, until `stopping` fires. */
  async run(stopping: AbortSignal): Promise<void> {
    while (await this.#parts.clock.sleep(REFRESH_MS, stopping)) {
      const tenants = [...this.#inUse(this.#tenants)].map(([tenant]) => tenant);
      const subjects = [...this.#inUse(this.#subjects)].map(([, { subject }]) => subject);
      for (let at = 0; at < Math.max(tenants.length, subjects.length); at += AT_ONCE) {
        const wanted = { tenants: tenants.slice(at, at + AT_ONCE), subjects: subjects.slice(at, at + AT_ONCE) };
        await this.#read(wanted).catch(() => undefined); // it is in the log, and what is known stays so until it is stale
      }
    }
  }

  get size(): number {
    return this.#tenants.size + this.#subjects.size;
  }

  #tenant(tenant: string, mono: Ms): OfTenant | undefined {
    if (mono - this.#system.at >= FRESH_MS) return undefined;
    const found = this.#tenants.get(tenant);
    if (found === undefined || mono - found.known.at >= FRESH_MS) return undefined;
    if (found.from[0] !== this.#system.reads) this.#upToDate(found, [this.#system.reads, found.known.reads], tenant);
    found.isUsed = true;
    return found;
  }

  #upToDate(merged: Merged, from: Merged["from"], tenant: string): Effective {
    merged.isUsed = true;
    if (merged.from.some((reads, at) => reads !== from[at])) {
      merged.from = from;
      merged.effective = mergedOf(from, tenant);
    }
    return merged.effective;
  }

  /** What was asked for since the last time; what nobody has asked for and is stale goes. */
  #inUse<M extends Merged>(all: Map<string, M>): ReadonlyMap<string, M> {
    const mono = this.#parts.clock.mono();
    const used = new Map<string, M>();
    for (const [name, merged] of all) {
      if (merged.isUsed) used.set(name, merged);
      else if (mono - merged.known.at >= FRESH_MS) all.delete(name);
      merged.isUsed = false;
    }
    return used;
  }

  #readOnce(name: string, wanted: Wanted): Promise<void> {
    const running = this.#reading.get(name);
    if (running !== undefined) return running;
    const reading = this.#read(wanted).finally(() => this.#reading.delete(name));
    this.#reading.set(name, reading);
    return reading;
  }

  async #read({ tenants, subjects }: Wanted): Promise<void> {
    const { state, store, clock, log } = this.#parts;
    const [at, overruled] = [clock.mono(), new Set<string>()];
    this.#overruled.add(overruled);
    const ofTenants = tenants.map((tenant): ConfigAddress => ({ tenant, scope: "org", scopeId: tenant }));
    const ids = [...SYSTEM, ...ofTenants, ...subjects.flatMap(addressesOf)].map(configId);
    const spans = tenants.flatMap((tenant) => spansOf(tenant, state));
    const until = clock.deadline(NEVER, READ_MS);
    try {
      const [found, counts] = await Promise.all([
        store.loadMany(ids, until),
        spans.length === 0 ? [] : state.count(spans, until),
      ]);
      this.#remember({ tenants, subjects }, { found, counts, overruled }, at);
    } catch (error) {
      log.warn("config.not_read", { reason: messageOf(error) });
      throw error;
    } finally {
      this.#overruled.delete(overruled);
    }
  }

  #remember({ tenants, subjects }: Wanted, read: Answer, at: Ms): void {
    const { length } = SYSTEM;
    if (read.overruled.has("*")) return;
    if (!read.overruled.has("")) this.#system = known(this.#system, read.found.slice(0, length), at);
    for (const [index, tenant] of tenants.entries()) {
      if (read.overruled.has(tenant)) continue;
      const before = this.#tenants.get(tenant);
      const own = known(before?.known, read.found.slice(length + index, length + index + 1), at);
      const [team = 0, workflow = 0, step = 0] = read.counts.slice(index * NARROW_SCOPES.length);
      const from = [this.#system.reads, own.reads];
      const effective = effectiveFrom(before, from, tenant);
      const has = { team: team > 0, workflow: workflow > 0, step: step > 0 };
      const isPlain = team + workflow + step === 0;
      const isUsed = before?.isUsed ?? false;
      putNewest(this.#tenants, tenant, { known: own, from, effective, has, isPlain, isUsed }, TENANTS_MAX);
    }
    for (const [index, subject] of subjects.entries()) {
      const ofTenant = this.#tenants.get(subject.tenant);
      if (ofTenant === undefined || read.overruled.has(subject.tenant)) continue;
      const name = nameOf(subject);
      const before = this.#subjects.get(name);
      const first = length + tenants.length + index * NARROW_SCOPES.length;
      const own = known(before?.known, read.found.slice(first, first + NARROW_SCOPES.length), at);
      const from = [this.#system.reads, ofTenant.known.reads, own.reads];
      const effective = effectiveFrom(before, from, subject.tenant);
      putNewest(
        this.#subjects,
        name,
        { subject, known: own, from, effective, isUsed: before?.isUsed ?? false },
        NARROW_MAX,
      );
    }
  }
}

/** A read is shared by many jobs: none of their signals ends it, its own deadline does. */
const NEVER = new AbortController().signal;
const LONG_AGO: Ms = Number.NEGATIVE_INFINITY;

function effectiveFrom(before: Merged | undefined, from: Merged["from"], tenant: string): Effective {
  const isSame = before?.from.every((reads, at) => reads === from[at]) ?? false;
  return before !== undefined && isSame ? before.effective : mergedOf(from, tenant);
}

function mergedOf([system = [], org = [], narrow = []]: Merged["from"], tenant: string): Effective {
  const [base, topics] = system;
  const documents = [base, org[0], ...narrow].map((read) => read?.record);
  return effectiveOf({ documents, topics: topics?.record }, tenant);
}

/** See F6. */
function known(before: Known | undefined, reads: readonly Read[], at: Ms): Known {
  const isSame =
    before !== undefined &&
    before.reads.length === reads.length &&
    before.reads.every((read, index) => read?.version === reads[index]?.version);
  return { reads: isSame ? before.reads : reads, at };
}

/** With no more than what the tenant has documents for; undefined: nothing is left. */
function narrowed({ tenant, team, workflow, step }: Subject, { has }: OfTenant): Subject | undefined {
  const left = {
    tenant,
    team: has.team ? team : "",
    workflow: has.workflow ? workflow : "",
    step: has.step ? step : "",
  };
  return left.team === "" && left.workflow === "" && left.step === "" ? undefined : left;
}

/** One for each scope, also where the subject names none: no document has the id "". */
function addressesOf({ tenant, ...named }: Subject): readonly ConfigAddress[] {
  return NARROW_SCOPES.map((scope) => ({ tenant, scope, scopeId: named[scope] }));
}

function spansOf(tenant: string, state: State): readonly Span[] {
  return NARROW_SCOPES.map((scope) => ({ index: scopeIndex({ tenant, scope }, state) }));
}

function nameOf({ tenant, team, workflow, step }: Subject): string {
  return `${tenant}\n${team.length}:${team}\n${workflow.length}:${workflow}\n${step}`;
}
