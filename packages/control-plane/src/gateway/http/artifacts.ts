// Artifacts over HTTP.
// Owns:          upload, one artifact in JSON or as bytes, the list, removal; every spelling of a pointer in a path.
// Must not know: where bytes lie.
// The pointer is the rest of the path, escaped or not: older clients send `redis://art:<uuid>` as it is, and proxies make one slash of two.

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import type { Static } from "typebox";
import { type Artifact, parseArtifactPointer, parseRetention } from "../../artifacts/artifact.ts";
import {
  ARTIFACT_INDEX,
  type ArtifactParts,
  artifactPointer,
  listArtifacts,
  readArtifact,
  removeArtifact,
  uploadArtifact,
} from "../../artifacts/use-artifacts.ts";
import { invalidField } from "../../ports/fault.ts";
import type { App } from "../app.ts";
import { idempotencyKeyOf } from "../idempotency-key.ts";
import { actorOf } from "../identity.ts";
import { announceNext } from "../link.ts";
import { fillPage, type PageSource } from "../paging.ts";
import { queryCursor, queryLimit, queryText } from "../query.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { maybe, NextCursor, PageQuery, problemResponses, TextMap } from "./schemas.ts";

const text = Type.Optional(Type.String());
const MetadataSchema = Type.Object({
  content_type: text,
  size_bytes: Type.Integer(),
  retention: Type.String({ description: "short, standard or audit." }),
  labels: TextMap,
  sha256: Type.String({ description: "Of the content; lower-case hex." }),
  created_at: Type.String({ description: "RFC 3339." }),
  created_by: Type.String({ description: "Principal." }),
  expires_at: Type.String({ description: "RFC 3339; gone afterwards." }),
});
const ArtifactSchema = Type.Object({
  artifact_ptr: Type.String(),
  content_base64: Type.String(),
  metadata: MetadataSchema,
});
const ListedSchema = Type.Object({ artifact_ptr: Type.String(), metadata: MetadataSchema });
const UploadSchema = Type.Object({
  content_base64: maybe(Type.String({ description: "Standard base64 with padding. Wins over `content`." })),
  content: maybe(Type.String({ description: "Text; stored as UTF-8." })),
  content_type: maybe(Type.String()),
  retention: maybe(Type.String({ description: "short, standard (default) or audit." })),
  labels: maybe(TextMap),
});
const UploadedSchema = Type.Object({
  artifact_ptr: Type.String(),
  size_bytes: Type.Integer(),
  sha256: Type.String(),
  expires_at: Type.String(),
});
const OwnLimit = Type.Object({
  max_bytes: Type.Optional(Type.Integer({ description: "A limit of the caller's own, below the server's." })),
});

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const LIST_PRESET = 100;
const LEADS = [ARTIFACT_INDEX] as const;
/** For what stands beside the content in a body. */
const BODY_ROOM_BYTES = 65_536;
const BYTES_TYPE = "application/octet-stream";
const tags = ["artifacts"];

export function artifactRoutes(app: App, parts: RouteParts): void {
  uploadRoute(app, parts);
  listRoute(app, parts);
  readRoute(app, parts);
  removeRoute(app, parts);
}

function uploadRoute(app: App, parts: RouteParts): void {
  const { bytesMax } = parts.settings.artifacts;
  app.post(
    "/api/v1/artifacts",
    {
      config: { permission: "artifacts.write" },
      bodyLimit: Math.ceil(bytesMax / 3) * 4 + BODY_ROOM_BYTES,
      schema: {
        tags,
        operationId: "uploadArtifact",
        summary: "Keep bytes for a while",
        description: "A repeat with the same Idempotency-Key and content gives the same artifact.",
        querystring: OwnLimit,
        body: UploadSchema,
        response: { 200: UploadedSchema, ...problemResponses },
      },
    },
    async (request) => {
      const { body } = request;
      if (body === undefined || body === null) throw invalidField("body", "a JSON object is required");
      const caller = callerOf(request);
      const artifact = await uploadArtifact(
        {
          tenant: caller.tenant,
          actor: actorOf(caller),
          bytes: bytesOf(body),
          contentType: body.content_type ?? "",
          retention: parseRetention(body.retention ?? ""),
          labels: body.labels ?? {},
          bytesMax: ownLimit(request),
          idempotencyKey: idempotencyKeyOf(request),
        },
        artifactParts(parts),
        parts.deadline(),
      );
      const { sizeBytes, sha256, expiresAt } = artifact;
      return {
        artifact_ptr: artifactPointer(artifact),
        size_bytes: sizeBytes,
        sha256,
        expires_at: new Date(expiresAt).toISOString(),
      };
    },
  );
}

function listRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/artifacts",
    {
      config: { permission: "artifacts.read" },
      schema: {
        tags,
        operationId: "listArtifacts",
        summary: "Artifacts without their content, newest first",
        querystring: PageQuery,
        response: {
          200: Type.Object({ items: Type.Array(ListedSchema), next_cursor: NextCursor }),
          ...problemResponses,
        },
      },
    },
    async (request, reply) => {
      const start = queryCursor(request.query, LEADS);
      const source = artifactSource(callerOf(request).tenant, artifactParts(parts), parts.deadline());
      const page = await fillPage(start, queryLimit(request.query, LIST_PRESET), source);
      const items = page.items.map((artifact) => ({
        artifact_ptr: artifactPointer(artifact),
        metadata: metadataView(artifact),
      }));
      return { items, next_cursor: announceNext(request, reply, page.next, LEADS) };
    },
  );
}

function readRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/artifacts/*",
    {
      config: { permission: "artifacts.read", rest: "artifact_ptr" },
      schema: {
        tags,
        operationId: "getArtifact",
        summary: "One artifact",
        description: `The bytes themselves for \`Accept: ${BYTES_TYPE}\`, without their content type: nothing that was uploaded is to be run by a browser.`,
        querystring: OwnLimit,
        response: {
          200: {
            description: "Content and metadata, or the content alone.",
            content: { "application/json": { schema: ArtifactSchema }, [BYTES_TYPE]: { schema: Type.Unknown() } },
          },
          ...problemResponses,
        },
      },
    },
    async (request, reply) => {
      const { tenant } = callerOf(request);
      const query = { tenant, bytesMax: ownLimit(request) };
      const { artifact, bytes } = await readArtifact(idOf(request), query, artifactParts(parts), parts.deadline());
      const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      if (request.headers.accept?.trim().toLowerCase() === BYTES_TYPE)
        return reply.type(BYTES_TYPE).header("content-disposition", "attachment").send(content);
      return reply.send({
        artifact_ptr: artifactPointer(artifact),
        content_base64: content.toString("base64"),
        metadata: metadataView(artifact),
      });
    },
  );
}

function removeRoute(app: App, parts: RouteParts): void {
  app.delete(
    "/api/v1/artifacts/*",
    {
      config: { permission: "artifacts.delete", rest: "artifact_ptr" },
      schema: {
        tags,
        operationId: "deleteArtifact",
        summary: "Remove an artifact before its time",
        description: "Removing what is not there is no error.",
        response: { 204: Type.Null(), ...problemResponses },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      const by = { tenant: caller.tenant, actor: actorOf(caller) };
      await removeArtifact(idOf(request), by, artifactParts(parts), parts.deadline());
      return reply.code(204).send(null);
    },
  );
}

function artifactParts({ jobParts, settings }: RouteParts): ArtifactParts {
  const { state, payloads, clock } = jobParts;
  return { state, payloads, clock, settings: settings.artifacts, storeTimeoutMs: jobParts.settings.storeTimeoutMs };
}

function idOf(request: FastifyRequest): string {
  return parseArtifactPointer(queryText(request.params, "*"));
}

/** Of the query, else of the header; whatever is no positive integer is no limit. */
function ownLimit(request: FastifyRequest): number {
  const { "x-max-artifact-bytes": header } = request.headers;
  for (const given of [queryText(request.query, "max_bytes"), typeof header === "string" ? header : ""]) {
    const bytes = /^\d{1,15}$/.test(given.trim()) ? Number(given) : 0;
    if (bytes > 0) return bytes;
  }
  return 0;
}

function bytesOf({ content_base64, content }: Static<typeof UploadSchema>): Uint8Array {
  const encoded = content_base64 ?? "";
  if (encoded === "") {
    if (!(content ?? "").isWellFormed()) throw invalidField("content", "content must be text");
    return Buffer.from(content ?? "", "utf8");
  }
  const packed = encoded.replace(/[\r\n]/g, "");
  if (packed.length % 4 !== 0 || !BASE64.test(packed)) throw invalidField("content_base64", "invalid base64 content");
  return Buffer.from(packed, "base64");
}

function metadataView(artifact: Artifact): Static<typeof MetadataSchema> {
  const { contentType, sizeBytes, retention, labels, sha256, createdAt, createdBy, expiresAt } = artifact;
  return {
    ...(contentType === "" ? {} : { content_type: contentType }),
    size_bytes: sizeBytes,
    retention,
    labels: { ...labels },
    sha256,
    created_at: new Date(createdAt).toISOString(),
    created_by: createdBy,
    expires_at: new Date(expiresAt).toISOString(),
  };
}

function artifactSource(tenant: string, parts: ArtifactParts, signal: AbortSignal): PageSource<Artifact> {
  return {
    async read(after, limit) {
      const query = { tenant, limit, ...(after === undefined ? {} : { after }) };
      const { artifacts, next } = await listArtifacts(query, parts, signal);
      return { items: artifacts, ...(next === undefined ? {} : { next: { lead: ARTIFACT_INDEX, ...next } }) };
    },
    scoreOf: ({ createdAt }) => createdAt,
    idOf: ({ id }) => id,
    leadByTime: ARTIFACT_INDEX,
  };
}
