// The record of an artifact: what is known about bytes that somebody uploaded.
// Owns:          the record, its retention classes, which pointers name an artifact, what may be written about one.
// Must not know: where the bytes lie, HTTP.
// A1. Only `art:<uuid>` names an artifact. Whatever else a pointer says, no other key of the store is looked at.
// A2. The tenant is that of the upload, in the record and in the label `tenant_id`; who claims another one is refused.

import { Fault, invalidField } from "../ports/fault.ts";
import type { Json } from "../ports/json.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { readShape } from "../records/shape.ts";

export const ARTIFACT_KIND = "artifact";
export const ARTIFACT_SHAPE = 1;

export const RETENTIONS = ["short", "standard", "audit"] as const;
export type Retention = (typeof RETENTIONS)[number];
/** How long artifacts of each class are kept. */
export type ArtifactKeep = { readonly [retention in Retention]: Ms };

export interface Artifact {
  readonly shape: typeof ARTIFACT_SHAPE;
  readonly id: string;
  readonly tenant: string;
  readonly createdBy: string;
  readonly createdAt: EpochMs;
  readonly expiresAt: EpochMs;
  readonly contentType: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly retention: Retention;
  /** `tenant_id` among them. */
  readonly labels: Readonly<Record<string, string>>;
}

const TENANT_LABEL = "tenant_id";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const CONTENT_TYPE = /^[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?$/;
const LABELS_MAX = 50;
const LABEL_NAME_BYTES_MAX = 256;
const LABEL_VALUE_BYTES_MAX = 4_096;
const LABELS_BYTES_MAX = 16_384;

/** Any case, blanks around it; whatever is no class means `standard`, as with the original. */
export function parseRetention(text: string): Retention {
  const lower = text.trim().toLowerCase();
  return RETENTIONS.find((retention) => retention === lower) ?? "standard";
}

/** The id in `redis://art:<id>`, in the forms that clients make of it in a path: `redis:/art:<id>`, `art:<id>`, `<id>`.
 *  Fault INVALID_REQUEST for whatever names something else (A1). */
export function parseArtifactPointer(text: string): string {
  const id = text.replace(/^redis:\/{0,2}/, "").replace(/^art:/, "");
  if (!UUID.test(id)) throw invalidField("artifact_ptr", "expected redis://art:<uuid>");
  return id.toLowerCase();
}

/** Trimmed. Fault INVALID_REQUEST. */
export function parseContentType(text: string): string {
  const trimmed = text.trim();
  if (trimmed !== "" && !CONTENT_TYPE.test(trimmed))
    throw invalidField("content_type", "content_type must be at most 256 printable ASCII characters");
  return trimmed;
}

/** The labels with the tenant's own. Faults: INVALID_REQUEST, TENANT_FORBIDDEN. */
export function labelsFor(tenant: string, given: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const labels = Object.entries(given);
  if (labels.length > LABELS_MAX) throw invalidField("labels", `too many labels (max ${LABELS_MAX})`);
  let bytes = 0;
  for (const [name, value] of labels) {
    const [nameBytes, valueBytes] = [Buffer.byteLength(name), Buffer.byteLength(value)];
    if (name === "" || nameBytes > LABEL_NAME_BYTES_MAX || !name.isWellFormed())
      throw invalidField("labels", `a label's name must be 1 to ${LABEL_NAME_BYTES_MAX} bytes of text`);
    if (valueBytes > LABEL_VALUE_BYTES_MAX || !value.isWellFormed())
      throw invalidField(`labels.${name}`, `a label's value must be at most ${LABEL_VALUE_BYTES_MAX} bytes of text`);
    bytes += nameBytes + valueBytes;
  }
  if (bytes > LABELS_BYTES_MAX)
    throw invalidField("labels", `labels take more than ${LABELS_BYTES_MAX} bytes together`);
  const claimed = Object.hasOwn(given, TENANT_LABEL) ? given[TENANT_LABEL] : tenant;
  if (claimed !== tenant) throw new Fault("TENANT_FORBIDDEN", "the label tenant_id names another tenant");
  return Object.fromEntries([...labels.filter(([name]) => name !== TENANT_LABEL), [TENANT_LABEL, tenant]]);
}

/** Throws on a shape that this process cannot read. */
export function parseArtifact(value: Json): Artifact {
  return readShape(value, ARTIFACT_SHAPE, "artifact");
}
