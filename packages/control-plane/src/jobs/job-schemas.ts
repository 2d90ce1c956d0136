// Schemas that payloads of a topic have to keep to.
// Owns:          when a payload is checked, and what comes of it.
// Must not know: how schemas are kept or used (schemas/), where a topic names one (config/).
// C1. A payload is checked when its job is made, once. Where no schema is named, that costs a look at what is configured, and no wait.
// C2. A schema that is named and is not there, or cannot be used, lets nothing pass, also where violations are only noted.
// C3. What is said about a payload names places in it, never what stands there.

import type { JobRequest } from "@cordum/protocol";
import type { Effective } from "../config/effective.ts";
import type { Fault } from "../ports/fault.ts";
import { type Finding, faultOf } from "../schemas/known-schemas.ts";
import { subjectOf } from "./job-config.ts";
import type { JobParts } from "./job-parts.ts";

export interface PayloadOfJob {
  readonly jobId: string;
  readonly tenant: string;
  readonly team: string;
  readonly topic: string;
  readonly request: JobRequest;
  /** Undefined: there is none. */
  load(): Promise<Uint8Array | undefined>;
}

/** Why the job cannot be made; undefined: it can. Without a promise where nothing is to be checked, as far as that is known.
 *  Rejects with STATE_*, PAYLOADS_UNAVAILABLE. */
export function payloadFault(
  payload: PayloadOfJob,
  parts: JobParts,
  signal: AbortSignal,
): undefined | Promise<Fault | undefined> {
  if (parts.settings.schemaEnforcement === "off") return undefined;
  const { configs } = parts;
  const known = configs.findPlain(payload.tenant) ?? configs.find(subjectOf(payload, payload.request));
  if (known !== undefined && known.schemasOf(payload.topic).length === 0) return undefined;
  return faultUnder(known, payload, parts, signal);
}

async function faultUnder(
  known: Effective | undefined,
  payload: PayloadOfJob,
  parts: JobParts,
  signal: AbortSignal,
): Promise<Fault | undefined> {
  const { jobId, tenant, topic } = payload;
  const config = known ?? (await parts.configs.load(subjectOf(payload, payload.request)));
  const named = config.schemasOf(topic);
  if (named.length === 0) return undefined;
  const bytes = (await payload.load()) ?? new Uint8Array();
  const found = await parts.schemas.find(bytes, named, tenant, signal);
  const outcome = found?.finding.kind ?? "valid";
  parts.meter.count("cordum_schema_checks_total", { outcome });
  if (found === undefined) return undefined;
  const { schemaId, finding } = found;
  parts.log.warn("schema.not_kept", { jobId, tenant, topic, schemaId, outcome });
  return parts.settings.schemaEnforcement === "warn" && !mustRefuse(finding) ? undefined : faultOf(found);
}

/** See C2. */
function mustRefuse({ kind }: Finding): boolean {
  return kind === "missing" || kind === "unusable";
}

/** As dead letters name it. */
export function codeOf({ code }: Fault): string {
  if (code === "SCHEMA_VALIDATION_FAILED") return "schema_validation_failed";
  return code === "SCHEMA_MISSING" ? "schema_not_found" : "schema_not_checked";
}
