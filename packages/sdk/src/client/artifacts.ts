// Calls about artifacts and about what lies behind pointers of jobs.
// Owns:          which of them go to which route; base64 on the way; their records.
// Must not know: what the bytes are.

import { type CallOptions, segment, sending } from "./calling.ts";
import type { Answer, Call } from "./http.ts";
import { type ListOptions, pages } from "./paging.ts";
import { objectOf, pageOf, parseJson, withText } from "./parse.ts";

export interface ArtifactMetadata {
  readonly content_type?: string;
  readonly size_bytes: number;
  readonly retention: "short" | "standard" | "audit" | (string & Record<never, never>);
  readonly labels: { readonly [label: string]: string };
  /** Lower-case hex. */
  readonly sha256: string;
  /** RFC 3339. */
  readonly created_at: string;
  readonly created_by: string;
  readonly expires_at: string;
}
export interface ArtifactRecord {
  /** `redis://art:<uuid>` */
  readonly artifact_ptr: string;
  readonly metadata: ArtifactMetadata;
}
export interface Artifact extends ArtifactRecord {
  readonly content: Uint8Array;
}
export interface UploadedArtifact {
  readonly artifact_ptr: string;
  readonly size_bytes: number;
  readonly sha256: string;
  readonly expires_at: string;
}
interface UploadOptions extends CallOptions {
  readonly contentType?: string;
  readonly retention?: "short" | "standard" | "audit";
  readonly labels?: { readonly [label: string]: string };
  /** Same key and same content: same artifact. Made for the call when absent. */
  readonly idempotencyKey?: string;
}

export interface MemoryRecord {
  readonly pointer: string;
  readonly key: string;
  readonly kind: "context" | "result" | "memory" | (string & Record<never, never>);
  readonly bytes: Uint8Array;
  /** Where the bytes are UTF-8. */
  readonly text?: string;
  /** Where the text is JSON. */
  readonly json?: unknown;
  /** References to secrets were blanked out. */
  readonly redacted?: boolean;
}

const ROUTE = "/api/v1/artifacts";

export function artifactCalls(send: (call: Call) => Promise<Answer>) {
  return {
    upload: async (content: string | Uint8Array, options: UploadOptions = {}): Promise<UploadedArtifact> => {
      const body = {
        content_base64: Buffer.from(content).toString("base64"),
        content_type: options.contentType,
        retention: options.retention,
        labels: options.labels,
      };
      const { idempotencyKey } = options;
      const { text } = await send({ method: "POST", path: ROUTE, body, idempotencyKey, ...sending(options) });
      return withText<UploadedArtifact>(parseJson(text), "artifact_ptr", "sha256");
    },
    get: async (pointer: string, options: CallOptions = {}): Promise<Artifact> => {
      const { text } = await send({ method: "GET", path: `${ROUTE}/${segment(pointer)}`, ...sending(options) });
      const found = withText<ArtifactRecord & { content_base64: string }>(
        parseJson(text),
        "artifact_ptr",
        "content_base64",
      );
      objectOf(found.metadata);
      const { artifact_ptr, metadata } = found;
      return { artifact_ptr, metadata, content: bytesOf(found.content_base64) };
    },
    /** Without their content, newest first. */
    list: (options: ListOptions = {}): AsyncIterable<ArtifactRecord> =>
      pages(send, { method: "GET", path: ROUTE }, options, ({ text }) =>
        pageOf(parseJson(text), (item) => withText<ArtifactRecord>(item, "artifact_ptr")),
      ),
    /** One that is not there is no error. Needs the role operator. */
    delete: async (pointer: string, options: CallOptions = {}): Promise<void> => {
      await send({ method: "DELETE", path: `${ROUTE}/${segment(pointer)}`, ...sending(options) });
    },
  };
}

/** `pointer`: `redis://ctx:<job>`, `redis://res:<job>`, `redis://mem:<job>:<part>`, or the key alone. */
export async function readMemory(
  send: (call: Call) => Promise<Answer>,
  pointer: string,
  options: CallOptions & { readonly limit?: number },
): Promise<MemoryRecord> {
  const query = { key: pointer, limit: options.limit };
  const { text } = await send({ method: "GET", path: "/api/v1/memory", query, ...sending(options) });
  const {
    base64,
    size_bytes: _,
    ...found
  } = withText<MemoryRecord & { base64: string; size_bytes: number }>(
    parseJson(text),
    "pointer",
    "key",
    "kind",
    "base64",
  );
  return { ...found, bytes: bytesOf(base64) };
}

/** Not a view into a buffer that others share. */
function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(Buffer.from(base64, "base64"));
}
