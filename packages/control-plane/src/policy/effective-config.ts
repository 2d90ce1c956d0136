// The safety section of the effective config.
// Owns:          its format, and whether it denies a request. It can only tighten.
// Must not know: how config layers are merged, rules.
// E1. The section is `safety`, or `data.safety`. No section: no say. E2. A section that cannot be understood denies: it was written to
//     protect something, and ignoring it would pass what it forbids. E3. Of several failed checks the last gives the reason.

import { compileGlobs } from "./conditions.ts";
import { MCP_FIELDS, type McpFieldLists, type McpLists } from "./document.ts";
import type { Facts } from "./facts.ts";
import { type Glob, parseGlob } from "./glob.ts";
import { compileMcpCheck, type McpCheck } from "./mcp.ts";

type UnknownObject = { readonly [key: string]: unknown };
/** "malformed": bytes were sent that are no JSON object. */
export type EffectiveConfig = UnknownObject | "malformed";

const CONFIG_BYTES_MAX = 1_048_576;
const ENTRIES_MAX = 10_000;
const MALFORMED_REASON = "effective config is malformed";

/** Parses the JSON of a request or of a job's env. Blank means there is none. Never throws. */
export function parseEffectiveConfig(text: string): EffectiveConfig | undefined {
  if (text.trim() === "") return undefined;
  if (Buffer.byteLength(text) > CONFIG_BYTES_MAX) return "malformed";
  try {
    const parsed: unknown = JSON.parse(text);
    if (parsed === null) return undefined;
    return isObject(parsed) ? parsed : "malformed";
  } catch (error) {
    if (error instanceof SyntaxError) return "malformed";
    throw error;
  }
}

/** Why the config denies the request; undefined when it does not. */
export function effectiveConfigDenial(config: EffectiveConfig | undefined, facts: Facts): string | undefined {
  if (config === undefined) return undefined;
  if (config === "malformed") return MALFORMED_REASON;
  const judge = judgeOf(config);
  return judge?.(facts);
}

/** Why the safety section of a config cannot be understood; undefined: it can, or there is none. For those who write one. */
export function safetyFault(config: UnknownObject): string | undefined {
  const section = safetySection(config);
  if (section === undefined) return undefined;
  if (!isObject(section)) return "safety must be an object";
  for (const key of ["denied_topics", "allowed_topics"])
    if (globsOf(section, key) === "malformed") return `${key} must be a list of topics, each a text or a glob`;
  return mcpCheckOf(own(section, "mcp")) === "malformed" ? "mcp must hold lists of texts" : undefined;
}

/** Whether the config has a say at all. */
export function restricts(config: EffectiveConfig | undefined): boolean {
  return config === "malformed" || (config !== undefined && judgeOf(config) !== undefined);
}

type Judge = (facts: Facts) => string | undefined;

// One config object serves many jobs; it is compiled once and forgotten with the object. Objects are never changed after parsing.
const judges = new WeakMap<UnknownObject, { readonly judge: Judge | undefined }>();

function judgeOf(config: UnknownObject): Judge | undefined {
  const known = judges.get(config);
  if (known !== undefined) return known.judge;
  const judge = compile(config);
  judges.set(config, { judge });
  return judge;
}

function compile(config: UnknownObject): Judge | undefined {
  const section = safetySection(config);
  if (section === undefined) return undefined;
  if (!isObject(section)) return () => MALFORMED_REASON;
  const denied = globsOf(section, "denied_topics");
  const allowed = globsOf(section, "allowed_topics");
  const mcp = mcpCheckOf(own(section, "mcp"));
  if (denied === "malformed" || allowed === "malformed" || mcp === "malformed") return () => MALFORMED_REASON;
  return (facts) => {
    const { topic } = facts;
    const isDenied = denied.some((glob) => glob.matches(topic));
    const isOutside = allowed.length > 0 && !allowed.some((glob) => glob.matches(topic));
    const mcpReason = mcp?.(facts.mcp);
    if (mcpReason !== undefined) return mcpReason;
    if (isOutside) return `topic '${topic}' not allowed by effective config`;
    return isDenied ? `topic '${topic}' denied by effective config` : undefined;
  };
}

function safetySection(config: UnknownObject): unknown {
  const top = own(config, "safety");
  if (top !== undefined) return top;
  const nested = own(config, "data");
  return isObject(nested) ? own(nested, "safety") : undefined;
}

/** Undefined also for null: JSON writers spell "not set" so. */
function own(object: UnknownObject, key: string): unknown {
  return Object.hasOwn(object, key) ? (object[key] ?? undefined) : undefined;
}

function isObject(value: unknown): value is UnknownObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textsOf(section: UnknownObject, key: string): readonly string[] | "malformed" {
  const list = own(section, key) ?? [];
  if (!Array.isArray(list) || list.length > ENTRIES_MAX) return "malformed";
  const texts = list.filter((entry) => typeof entry === "string");
  return texts.length === list.length ? texts : "malformed";
}

function globsOf(section: UnknownObject, key: string): readonly Glob[] | "malformed" {
  const texts = textsOf(section, key);
  if (texts === "malformed" || texts.some((text) => parseGlob(text).kind === "malformed")) return "malformed";
  return compileGlobs(texts);
}

function mcpCheckOf(section: unknown): McpCheck | undefined | "malformed" {
  if (section === undefined) return undefined;
  if (!isObject(section)) return "malformed";
  const lists: { [field: string]: McpFieldLists } = {};
  for (const field of MCP_FIELDS) {
    const allow = textsOf(section, `allow_${field}s`);
    const deny = textsOf(section, `deny_${field}s`);
    if (allow === "malformed" || deny === "malformed") return "malformed";
    lists[field] = { allow, deny };
  }
  const { server = NONE, tool = NONE, resource = NONE, action = NONE } = lists;
  return compileMcpCheck({ server, tool, resource, action } satisfies McpLists);
}

const NONE: McpFieldLists = { allow: [], deny: [] };
