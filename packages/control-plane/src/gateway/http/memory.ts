// The reader of memory pointers over HTTP.
// Owns:          the route.
// Must not know: which keys there are, whose they are.

import { Type } from "@fastify/type-provider-typebox";
import { parseMemoryKey } from "../../memory/memory-key.ts";
import { MEMORY_ITEMS_MAX, readMemory } from "../../memory/read-memory.ts";
import type { App } from "../app.ts";
import { queryLimit, queryText } from "../query.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { problemResponses } from "./schemas.ts";

const POINTER_CHARS_MAX = 600;
const MemorySchema = Type.Object({
  pointer: Type.String(),
  key: Type.String(),
  kind: Type.String({ description: "`context`, `result` or `memory`." }),
  size_bytes: Type.Integer({ description: "Of what is shown." }),
  base64: Type.String(),
  text: Type.Optional(Type.String({ description: "Where the bytes are UTF-8." })),
  json: Type.Optional(Type.Unknown({ description: "Where the text is JSON." })),
  redacted: Type.Optional(Type.Boolean({ description: "References to secrets were blanked out." })),
});

export function memoryRoutes(app: App, { jobParts, deadline }: RouteParts): void {
  app.get(
    "/api/v1/memory",
    {
      config: { permission: "memory.read" },
      schema: {
        tags: ["memory"],
        operationId: "readMemory",
        summary: "What lies behind a pointer of a job: its context, its result, its memory",
        description: `Pointers \`redis://ctx:<job>\`, \`redis://res:<job>\` and \`redis://mem:<job>:<part>\`. Of a list, set or hash at most ${MEMORY_ITEMS_MAX} items; \`length\` says how many there are.`,
        querystring: Type.Object({
          ptr: Type.Optional(Type.String()),
          key: Type.Optional(Type.String({ description: "The key, or the pointer; wins over `ptr`." })),
          limit: Type.Optional(Type.Integer({ description: "Items of a list, set or hash." })),
        }),
        response: { 200: MemorySchema, ...problemResponses },
      },
    },
    async (request) => {
      const { query } = request;
      const [ptr, key] = ["ptr", "key"].map((name) => queryText(query, name, POINTER_CHARS_MAX));
      const memory = parseMemoryKey({ ptr: ptr ?? "", key: key ?? "" });
      const wish = { tenant: callerOf(request).tenant, itemsMax: queryLimit(query, MEMORY_ITEMS_MAX) };
      const { pointer, bytes, text, json, isRedacted } = await readMemory(memory, wish, jobParts, deadline());
      return {
        pointer,
        key: memory.key,
        kind: memory.kind,
        size_bytes: bytes.byteLength,
        base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64"),
        ...(text === undefined ? {} : { text }),
        ...(json === undefined ? {} : { json: json.value }),
        ...(isRedacted ? { redacted: true } : {}),
      };
    },
  );
}
