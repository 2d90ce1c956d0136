// The effective configuration: all layers that hold for one job, merged.
// Owns:          the order of layers, the merge, version and hash; what of it workers and policy get.
// Must not know: State, caches, HTTP.
// V1. Layers: system, org, team, workflow, step. A later one wins, top-level member by top-level member, each as a whole: objects are not
//     merged, null does not delete, it is a value. Limits of the system's layer are ceilings (limits.ts, L1). V2. Same documents: same version, same hash, on every machine.
// V3. Workers get everything but what is the control plane's own (pools, timeouts, topics), as canonical JSON; nothing when that is empty.
// V4. A schema that the installation names for a topic holds beside one that the tenant names: neither takes the other away.

import { createHash } from "node:crypto";
import type { Json, JsonObject } from "../ports/json.ts";
import { canonicalJson } from "./canonical-json.ts";
import { type ConfigDocument, memberOf, SCOPES, withoutInternals } from "./document.ts";
import { type JobLimitsOfConfig, jobLimitsOf, withCeiling } from "./limits.ts";
import { ofTenant, schemaIdIn } from "./topics.ts";

/** Of one job; "" where it has none. */
export interface Subject {
  readonly tenant: string;
  readonly team: string;
  readonly workflow: string;
  readonly step: string;
}

export interface Effective {
  /** As workers and policy get it; undefined: nothing is configured. The same object as long as nothing changes. */
  readonly forWorkers: JsonObject | undefined;
  /** Canonical JSON of `forWorkers`; "" for none. */
  readonly text: string;
  readonly limits: JobLimitsOfConfig;
  schemasOf(topic: string): readonly NamedSchema[];
}

/** A schema that payloads of a topic have to keep to, and who says so. */
export interface NamedSchema {
  readonly id: string;
  readonly by: "system" | "tenant";
}

export interface Layers {
  /** In the order of SCOPES; undefined where there is no document. */
  readonly documents: readonly (ConfigDocument | undefined)[];
  /** The system's document of topics. */
  readonly topics: ConfigDocument | undefined;
}

export interface EffectiveView {
  readonly version: string;
  readonly hash: string;
  readonly data: JsonObject;
}

export function effectiveOf({ documents, topics }: Layers, tenant: string): Effective {
  const forWorkers = withoutInternals(mergeAll(documents));
  const isEmpty = Object.keys(forWorkers).length === 0;
  const [system, ...ofTenants] = documents.map(topicsIn);
  return {
    forWorkers: isEmpty ? undefined : forWorkers,
    text: isEmpty ? "" : canonicalJson(forWorkers),
    limits: jobLimitsOf(forWorkers),
    schemasOf(topic) {
      const shared = topics?.data ?? undefined;
      const bySystem =
        schemaIdIn(shared, ofTenant(tenant, topic)) || schemaIdIn(shared, topic) || schemaIdIn(system, topic);
      const byTenant = ofTenants.reduce<string>((found, section) => schemaIdIn(section, topic) || found, "");
      if (bySystem === "" && byTenant === "") return NONE;
      const named = [
        { id: bySystem, by: "system" },
        { id: byTenant, by: "tenant" },
      ] as const;
      return named.filter(({ id }) => id !== "");
    },
  };
}

const NONE: readonly NamedSchema[] = [];

function topicsIn(document: ConfigDocument | undefined): Json | undefined {
  return memberOf(document?.data ?? {}, "topics");
}

export function viewOf(documents: readonly (ConfigDocument | undefined)[]): EffectiveView {
  const data = mergeAll(documents);
  return {
    version: SCOPES.map((scope, at) => `${scope}:${documents[at]?.revision ?? 0}`).join("|"),
    hash: createHash("sha256").update(canonicalJson(data)).digest("hex"),
    data,
  };
}

function mergeAll(documents: readonly (ConfigDocument | undefined)[]): JsonObject {
  const members = new Map<string, Json>();
  for (const document of documents)
    for (const [name, value] of Object.entries(document?.data ?? {})) members.set(name, value);
  return withCeiling(Object.fromEntries(members), documents[0]?.data ?? {});
}
