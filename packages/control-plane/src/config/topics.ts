// What configuration says about single topics.
// Owns:          the form of the section `topics` and of the system's document of that name; which schemas the payloads of a topic keep to.
// Must not know: schemas themselves.
// A topic's entry is an object with `input_schema_id`; members that packs keep beside it are theirs. In the system's document a tenant's own
// entry is named `tenant:<tenant>:<topic>` and stands in place of the one for all.

import type { Json } from "../ports/json.ts";

const TOPICS_MAX = 5_000;
const ID_CHARS_MAX = 512;

/** What is wrong with the section; undefined: nothing. */
export function topicsFault(topics: Json | undefined): string | undefined {
  if (topics === undefined || topics === null) return undefined;
  if (!isObject(topics)) return "topics must be an object";
  const entries = Object.entries(topics);
  if (entries.length > TOPICS_MAX) return `topics has more than ${TOPICS_MAX} entries`;
  for (const [topic, entry] of entries) {
    if (!isObject(entry)) return `topics.${topic} must be an object`;
    const id = own(entry, "input_schema_id") ?? null;
    if (id !== null && (typeof id !== "string" || id.length > ID_CHARS_MAX))
      return `topics.${topic}.input_schema_id must be a text of at most ${ID_CHARS_MAX} characters`;
  }
  return undefined;
}

/** "" when the section names none. */
export function schemaIdIn(topics: Json | undefined, topic: string): string {
  const entry = isObject(topics) ? own(topics, topic) : undefined;
  const id = isObject(entry) ? own(entry, "input_schema_id") : undefined;
  return typeof id === "string" ? id.trim() : "";
}

export function ofTenant(tenant: string, topic: string): string {
  return `tenant:${tenant}:${topic}`;
}

function own(object: object, name: string): unknown {
  return Object.hasOwn(object, name) ? Reflect.get(object, name) : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
