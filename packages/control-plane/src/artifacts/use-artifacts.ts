// Uploading, reading, listing and removing artifacts.
// Owns:          how an artifact lies in State and Payloads, its limits, the audit entry of each change.
// Must not know: HTTP, what the bytes are.
// U1. The bytes lie at `art:<uuid>`, where workers of the original look for them; the record beside them is what a read is decided by. Bytes
//     are stored first and live as long as the record: an upload that breaks off leaves bytes that nobody is shown, until their time is over.
// U2. An artifact of another tenant is one that does not exist. U3. Bytes that are not those of the upload are not handed out.
// U4. An upload that is repeated under its idempotency key is the same artifact; other bytes under that key are refused.

import { hash } from "node:crypto";
import { artifactKey, pointerTo } from "@cordum/protocol";
import { type Actor, auditChange } from "../audit/audit-entry.ts";
import { derivedUuid, newUuid } from "../jobs/ids.ts";
import type { Clock } from "../ports/clock.ts";
import { Fault, invalidField } from "../ports/fault.ts";
import type { Json } from "../ports/json.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { Change, Layout, Position, State } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { listAcross } from "../records/across-partitions.ts";
import { RecordStore, type Seen } from "../records/record-store.ts";
import {
  ARTIFACT_KIND,
  ARTIFACT_SHAPE,
  type Artifact,
  type ArtifactKeep,
  labelsFor,
  parseArtifact,
  parseContentType,
  type Retention,
} from "./artifact.ts";

/** of tenant; score: when it was uploaded. */
export const ARTIFACT_INDEX = "artifact.tenant";

export interface ArtifactSettings {
  /** Of the bytes themselves, whatever form they come in. */
  readonly bytesMax: number;
  readonly keep: ArtifactKeep;
}

const HOUR_MS = 3_600_000;
export const DEFAULT_ARTIFACT_SETTINGS: ArtifactSettings = {
  bytesMax: 10_485_760,
  keep: { short: 24 * HOUR_MS, standard: 168 * HOUR_MS, audit: 720 * HOUR_MS },
};

export interface ArtifactParts {
  readonly state: State;
  readonly payloads: Payloads;
  readonly clock: Clock;
  readonly settings: ArtifactSettings;
  readonly storeTimeoutMs: Ms;
}

export interface Upload {
  readonly tenant: string;
  readonly actor: Actor;
  readonly bytes: Uint8Array;
  readonly contentType: string;
  readonly retention: Retention;
  readonly labels: Readonly<Record<string, string>>;
  /** The caller's own limit; 0: none. */
  readonly bytesMax: number;
  /** "" without one. */
  readonly idempotencyKey: string;
}

export function artifactLayout(keep: ArtifactKeep): Layout["indexes"] {
  return { [ARTIFACT_INDEX]: { score: "time", keepMs: Math.max(...Object.values(keep)) } };
}

export function artifactPointer({ id }: Pick<Artifact, "id">): string {
  return pointerTo(artifactKey(id));
}

/** Faults: INVALID_REQUEST, TENANT_FORBIDDEN, PAYLOAD_TOO_LARGE, IDEMPOTENCY_CONFLICT, PAYLOADS_UNAVAILABLE, STATE_*. */
export async function uploadArtifact(upload: Upload, parts: ArtifactParts, signal: AbortSignal): Promise<Artifact> {
  const { bytes, idempotencyKey, tenant, actor } = upload;
  refuseTooLarge(bytes.byteLength, upload.bytesMax, parts);
  if (bytes.byteLength === 0) throw invalidField("content", "content required");
  const { clock, payloads, settings } = parts;
  const artifact = artifactOf(upload, settings, clock);
  const until = clock.deadline(signal, parts.storeTimeoutMs);
  const store = storeOf(parts);
  const before = idempotencyKey === "" ? undefined : await store.load(artifact.id, until);
  if (before !== undefined) return repeatOf(before, artifact);
  await payloads.put(artifactKey(artifact.id), bytes, settings.keep[artifact.retention], until);
  const facts = { retention: artifact.retention, sizeBytes: artifact.sizeBytes, sha256: artifact.sha256 };
  const also = [entryOf(artifact, { tenant, actor, action: "artifact.upload", at: artifact.createdAt, facts }, store)];
  const created = await store.create(artifact, { also }, until);
  if (created.kind === "committed") return artifact;
  return repeatOf(created.seen, artifact);
}

export interface ReadArtifact {
  readonly artifact: Artifact;
  readonly bytes: Uint8Array;
}

/** `bytesMax`: the caller's own limit; 0: none. Faults: ARTIFACT_NOT_FOUND, ARTIFACT_DAMAGED, PAYLOAD_TOO_LARGE, PAYLOADS_UNAVAILABLE, STATE_*. */
export async function readArtifact(
  id: string,
  { tenant, bytesMax }: { readonly tenant: string; readonly bytesMax: number },
  parts: ArtifactParts,
  signal: AbortSignal,
): Promise<ReadArtifact> {
  const until = parts.clock.deadline(signal, parts.storeTimeoutMs);
  const { record: artifact } = await loadOwn(id, tenant, parts, until);
  refuseTooLarge(artifact.sizeBytes, bytesMax, parts);
  const bytes = await parts.payloads.get(artifactKey(id), until);
  if (bytes === undefined) throw notFound();
  if (hash("sha256", bytes, "hex") !== artifact.sha256)
    throw new Fault("ARTIFACT_DAMAGED", "what is stored is not what was uploaded");
  return { artifact, bytes };
}

/** Removing what is not there is no error. Faults: PAYLOADS_UNAVAILABLE, STATE_*. */
export async function removeArtifact(
  id: string,
  by: { readonly tenant: string; readonly actor: Actor },
  parts: ArtifactParts,
  signal: AbortSignal,
): Promise<void> {
  const until = parts.clock.deadline(signal, parts.storeTimeoutMs);
  const store = storeOf(parts);
  const seen = await store.load(id, until);
  if (seen === undefined || seen.record.tenant !== by.tenant) return;
  const facts = { sizeBytes: seen.record.sizeBytes };
  const entry = entryOf(seen.record, { ...by, action: "artifact.delete", at: parts.clock.now(), facts }, store);
  await store.remove(seen, [entry], until); // false: somebody else has removed it just now
  await parts.payloads.delete(artifactKey(id), until);
}

export interface ArtifactPage {
  readonly artifacts: readonly Artifact[];
  readonly next?: Position;
}

/** The tenant's, newest first. A page may be short; `next` goes on. */
export async function listArtifacts(
  query: { readonly tenant: string; readonly limit: number; readonly after?: Position },
  parts: ArtifactParts,
  signal: AbortSignal,
): Promise<ArtifactPage> {
  const { tenant, limit, after } = query;
  const page = await listAcross(
    parts.state,
    {
      lead: { index: ARTIFACT_INDEX, of: [tenant] },
      alsoIn: [],
      order: "down",
      limit,
      examineMax: limit,
      ...(after === undefined ? {} : { after }),
    },
    signal,
  );
  const found = await storeOf(parts).loadMany(
    page.entries.map(({ member }) => member),
    signal,
  );
  const artifacts = found.flatMap((seen) => (seen === undefined ? [] : [seen.record]));
  return { artifacts, ...(page.next === undefined ? {} : { next: page.next }) };
}

function artifactOf(upload: Upload, settings: ArtifactSettings, clock: Clock): Artifact {
  const { tenant, actor, bytes, retention, idempotencyKey } = upload;
  const now = clock.now();
  return {
    shape: ARTIFACT_SHAPE,
    id:
      idempotencyKey === ""
        ? newUuid(clock)
        : derivedUuid("artifact", tenant, actor.principal, actor.keyId, idempotencyKey),
    tenant,
    createdBy: actor.principal,
    createdAt: now,
    expiresAt: now + settings.keep[retention],
    contentType: parseContentType(upload.contentType),
    sizeBytes: bytes.byteLength,
    sha256: hash("sha256", bytes, "hex"),
    retention,
    labels: labelsFor(tenant, upload.labels),
  };
}

function repeatOf(seen: Seen<Artifact> | undefined, wanted: Artifact): Artifact {
  const found = seen?.record;
  const isSame =
    found?.sha256 === wanted.sha256 &&
    found.retention === wanted.retention &&
    found.contentType === wanted.contentType &&
    textOf(found.labels) === textOf(wanted.labels);
  if (!isSame) throw new Fault("IDEMPOTENCY_CONFLICT", "this idempotency key was used for another artifact");
  return found;
}

function textOf(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function refuseTooLarge(bytes: number, asked: number, { settings, payloads }: ArtifactParts): void {
  const most = Math.min(settings.bytesMax, payloads.traits.bytesMax, asked > 0 ? asked : settings.bytesMax);
  if (bytes > most) throw new Fault("PAYLOAD_TOO_LARGE", `artifact too large: ${bytes} bytes, at most ${most}`);
}

async function loadOwn(id: string, tenant: string, parts: ArtifactParts, signal: AbortSignal): Promise<Seen<Artifact>> {
  const seen = await storeOf(parts).load(id, signal);
  if (seen === undefined || seen.record.tenant !== tenant) throw notFound();
  return seen;
}

function notFound(): Fault {
  return new Fault("ARTIFACT_NOT_FOUND", "artifact not found");
}

interface Told {
  readonly tenant: string;
  readonly actor: Actor;
  readonly action: string;
  readonly at: EpochMs;
  readonly facts: { readonly [name: string]: string | number };
}

function entryOf(artifact: Artifact, told: Told, store: RecordStore<Artifact>): Change {
  const { id } = artifact;
  return auditChange({ ...told, of: { kind: ARTIFACT_KIND, id }, reason: "" }, store.key(id).partition);
}

function storeOf({ state, clock, settings }: Pick<ArtifactParts, "state" | "clock" | "settings">) {
  return new RecordStore<Artifact>(state, clock, {
    kind: ARTIFACT_KIND,
    idOf: ({ id }) => id,
    parse: parseArtifact,
    write: (artifact) => artifact as unknown as Json,
    entriesOf: ({ tenant, createdAt }) => [{ index: ARTIFACT_INDEX, of: [tenant], score: createdAt }],
    alarmOf: () => "never",
    keepMsOf: ({ retention }) => settings.keep[retention],
  });
}
