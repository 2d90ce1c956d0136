// Reading and changing documents of configuration.
// Owns:          one document, the effective view, replacing, merging, removing; the audit entry of each change.
// Must not know: HTTP, who may do it.
// U1. Every change is one compare-and-set on what was seen: nobody's change is lost. Who expects a revision that is no longer there is
//     told so; a merge without an expectation is made again on what is there now. U2. The change and its audit entry are one commit; the
//     entry names members, never their values. U3. A store that does not answer is a fault, never "nothing is configured".

import { type Actor, auditChange } from "../audit/audit-entry.ts";
import type { Bus } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { JsonObject } from "../ports/json.ts";
import { partitionOf } from "../ports/partition.ts";
import type { Change, State } from "../ports/state.ts";
import type { Log } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import type { Seen } from "../records/record-store.ts";
import { announceConfig } from "./config-news.ts";
import { configId, openConfigStore, scopeIndex } from "./config-store.ts";
import {
  addressOf,
  CONFIG_KIND,
  CONFIG_SHAPE,
  type ConfigAddress,
  type ConfigDocument,
  checkDocument,
  patched,
} from "./document.ts";
import { type EffectiveView, type Subject, viewOf } from "./effective.ts";

export interface ConfigParts {
  readonly state: State;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  /** What this process remembers of the document counts no more. */
  readonly forget: (address: ConfigAddress) => void;
  readonly storeTimeoutMs: Ms;
}

export interface By {
  readonly actor: Actor;
  /** For whom the request works: a change of the installation is in the audit of that tenant. */
  readonly tenant: string;
}

/** What a writer believes is there: an entity tag or a revision, 0 for nothing yet; "*" = anything; "" = no belief. */
export type Expected = string;

/** Of one scope, of one owner. */
const DOCUMENTS_MAX = 5_000;
const CONFLICTS_MAX = 16;
const NAMES_CHARS_MAX = 300;

export type SeenDocument = Seen<ConfigDocument>;

/** Names what was read, also across a removal. */
export function entityTagOf({ record, version }: SeenDocument): string {
  return `"${record.revision}-${version}"`;
}

/** Fault CONFIG_NOT_FOUND. */
export async function loadConfig(
  address: ConfigAddress,
  parts: ConfigParts,
  signal: AbortSignal,
): Promise<SeenDocument> {
  const seen = await openConfigStore(parts.state, parts.clock).load(
    configId(address),
    parts.clock.deadline(signal, parts.storeTimeoutMs),
  );
  if (seen === undefined) throw new Fault("CONFIG_NOT_FOUND", "config not found");
  return seen;
}

/** What holds for the subject, from the store and not from memory. */
export async function viewConfig(subject: Subject, parts: ConfigParts, signal: AbortSignal): Promise<EffectiveView> {
  const ids = layersOf(subject).map((address) => (address === undefined ? undefined : configId(address)));
  const wanted = ids.filter((id) => id !== undefined);
  const found = await openConfigStore(parts.state, parts.clock).loadMany(
    wanted,
    parts.clock.deadline(signal, parts.storeTimeoutMs),
  );
  const byId = new Map(wanted.map((id, at) => [id, found[at]?.record]));
  return viewOf(ids.map((id) => (id === undefined ? undefined : byId.get(id))));
}

/** In the order of scopes; undefined where the subject has no such layer. */
export function layersOf({ tenant, team, workflow, step }: Subject): readonly (ConfigAddress | undefined)[] {
  return [
    addressOf("system", "", tenant),
    { tenant, scope: "org", scopeId: tenant },
    team === "" ? undefined : { tenant, scope: "team", scopeId: team },
    workflow === "" ? undefined : { tenant, scope: "workflow", scopeId: workflow },
    step === "" ? undefined : { tenant, scope: "step", scopeId: step },
  ];
}

export interface Written {
  readonly data: JsonObject | null;
  readonly meta: Readonly<Record<string, string>>;
}

/** Faults: CONFIG_VERSION_CONFLICT, CONFIG_LIMIT, those of checkDocument, STATE_*. */
export function replaceConfig(
  address: ConfigAddress,
  written: Written,
  expected: Expected,
  by: By,
  parts: ConfigParts,
  signal: AbortSignal,
): Promise<SeenDocument> {
  return write(address, { action: "config.replace", expected, by, next: () => written }, parts, signal);
}

/** Top-level members of `data` take the place of those that are there; members of `meta` likewise. Faults as replaceConfig. */
export function mergeConfig(
  address: ConfigAddress,
  { data, meta }: { readonly data: JsonObject; readonly meta: Written["meta"] },
  expected: Expected,
  by: By,
  parts: ConfigParts,
  signal: AbortSignal,
): Promise<SeenDocument> {
  const next = (before: ConfigDocument | undefined): Written => ({
    data: patched(before?.data ?? null, data),
    meta: { ...before?.meta, ...meta },
  });
  return write(address, { action: "config.merge", expected, by, next }, parts, signal);
}

/** Removing what is not there is no error. Faults: CONFIG_VERSION_CONFLICT, CONFIG_CONTENDED, STATE_*. */
export async function removeConfig(
  address: ConfigAddress,
  expected: Expected,
  by: By,
  parts: ConfigParts,
  signal: AbortSignal,
): Promise<void> {
  const { clock, state } = parts;
  const store = openConfigStore(state, clock);
  const until = clock.deadline(signal, parts.storeTimeoutMs);
  for (let attempt = 1; attempt <= CONFLICTS_MAX; attempt++) {
    const seen = await store.load(configId(address), until);
    checkExpected(seen, expected);
    if (seen === undefined) return;
    const entry = entryOf({ action: "config.delete", by, before: seen.record, after: undefined }, address, parts);
    if (await store.remove(seen, [entry], until)) return afterwards(address, parts, signal);
  }
  throw contended();
}

interface Writing {
  readonly action: string;
  readonly expected: Expected;
  readonly by: By;
  readonly next: (before: ConfigDocument | undefined) => Written;
}

async function write(
  address: ConfigAddress,
  { action, expected, by, next }: Writing,
  parts: ConfigParts,
  signal: AbortSignal,
): Promise<SeenDocument> {
  const { clock } = parts;
  const store = openConfigStore(parts.state, clock);
  const until = clock.deadline(signal, parts.storeTimeoutMs);
  let seen: SeenDocument | undefined = await store.load(configId(address), until);
  for (let attempt = 1; attempt <= CONFLICTS_MAX; attempt++) {
    checkExpected(seen, expected);
    if (seen === undefined) await refuseTooMany(address, parts.state, until);
    const document: ConfigDocument = {
      ...address,
      ...next(seen?.record),
      shape: CONFIG_SHAPE,
      revision: (seen?.record.revision ?? 0) + 1,
      updatedAt: clock.now(),
      updatedBy: by.actor.principal,
    };
    checkDocument(document);
    const also = [entryOf({ action, by, before: seen?.record, after: document }, address, parts)];
    const saved =
      seen === undefined
        ? await store.create(document, { also }, until)
        : await store.replace(seen, document, { also }, until);
    if (saved.kind === "committed") {
      await afterwards(address, parts, signal);
      return saved.seen;
    }
    seen = saved.seen;
  }
  throw contended();
}

function checkExpected(seen: SeenDocument | undefined, expected: Expected): void {
  if (expected === "") return;
  const isThere =
    seen !== undefined &&
    (expected === "*" || expected === entityTagOf(seen) || bare(expected) === String(seen.record.revision));
  if (isThere || (seen === undefined && bare(expected) === "0")) return;
  const now = seen === undefined ? "there is no such document" : `the document is at revision ${seen.record.revision}`;
  throw new Fault("CONFIG_VERSION_CONFLICT", `${now}; read it again`);
}

function bare(tag: string): string {
  return tag.replace(/^"(.*)"$/, "$1");
}

/** Counted before, not in the commit: a few more than the limit do no harm. */
async function refuseTooMany(address: ConfigAddress, state: State, signal: AbortSignal): Promise<void> {
  const [count = 0] = await state.count([{ index: scopeIndex(address, state) }], signal);
  if (count >= DOCUMENTS_MAX)
    throw new Fault(
      "CONFIG_LIMIT",
      `there are at most ${DOCUMENTS_MAX} documents of scope ${address.scope}; remove some first`,
    );
}

async function afterwards(address: ConfigAddress, parts: ConfigParts, signal: AbortSignal): Promise<void> {
  parts.forget(address);
  await announceConfig(address, parts, signal);
}

interface Told {
  readonly action: string;
  readonly by: By;
  readonly before: ConfigDocument | undefined;
  readonly after: ConfigDocument | undefined;
}

function entryOf({ action, by, before, after }: Told, address: ConfigAddress, { state, clock }: ConfigParts): Change {
  const id = configId(address);
  const facts = {
    scope: address.scope,
    revision: (after ?? before)?.revision ?? 0,
    changed: changedNames(before?.data ?? {}, after?.data ?? {}),
  };
  const of = { kind: CONFIG_KIND, id: address.scopeId };
  const entry = { at: clock.now(), tenant: by.tenant, actor: by.actor, action, of, reason: "", facts };
  return auditChange(entry, partitionOf(id, state.traits.partitions));
}

function changedNames(before: JsonObject, after: JsonObject): string {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  const changed = [...names].filter((name) => textIn(before, name) !== textIn(after, name));
  return changed.toSorted().join(",").slice(0, NAMES_CHARS_MAX);
}

function textIn(data: JsonObject, name: string): string | undefined {
  return Object.hasOwn(data, name) ? JSON.stringify(data[name]) : undefined;
}

function contended(): Fault {
  return new Fault("CONFIG_CONTENDED", "the document is being changed by many at once");
}
