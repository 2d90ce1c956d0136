// Pointers: where the bytes behind a job lie.
// Owns:          how `redis://<key>` is spelled, read, and judged by the strict profile.
// Must not know: any store; whether a key exists.
// P1. A pointer looks like a URL and is none: what follows the prefix is the key, letter by letter. No host, no decoding, no trimming.
// P2. Only the colon form is made. The slash form of old documents and examples is read, with the key to try when nothing lies there.

const PREFIX = "redis://";
const STRICT_KEY = /^[A-Za-z0-9][A-Za-z0-9:._@[\]-]*$/;
const STRICT_KEY_BYTES_MAX = 1024;

export type PointerFamily = "context" | "result" | "artifact" | "memory" | "other";

export type ParsedPointer =
  | {
      readonly kind: "key";
      readonly key: string;
      readonly family: PointerFamily;
      /** The colon form of a slash key: ask for it when `key` is missing. */
      readonly fallbackKey: string | undefined;
    }
  | { readonly kind: "refused"; readonly reason: PointerRefusal };
export type PointerRefusal = "empty" | "unsupported_scheme" | "missing_key";

/** Reads every form that SDKs produce. */
export function parsePointer(pointer: string): ParsedPointer {
  if (pointer === "") return { kind: "refused", reason: "empty" };
  if (!pointer.startsWith(PREFIX)) return { kind: "refused", reason: "unsupported_scheme" };
  const key = pointer.slice(PREFIX.length);
  if (key === "") return { kind: "refused", reason: "missing_key" };
  const slashed = /^(?:ctx|res)\//.test(key);
  const colonKey = slashed ? `${key.slice(0, 3)}:${key.slice(4)}` : key;
  return { kind: "key", key, family: familyOf(colonKey), fallbackKey: slashed ? colonKey : undefined };
}

function familyOf(key: string): PointerFamily {
  switch (key.slice(0, 4)) {
    case "ctx:":
      return "context";
    case "res:":
      return "result";
    case "art:":
      return "artifact";
    case "mem:":
      return "memory";
    default:
      return "other";
  }
}

export const contextKey = (jobId: string): string => `ctx:${jobId}`;
export const resultKey = (jobId: string): string => `res:${jobId}`;
export const artifactKey = (artifactId: string): string => `art:${artifactId}`;
export const artifactMetadataKey = (artifactId: string): string => `art:meta:${artifactId}`;
/** `part`: `events`, `summary`, `chunks` or `chunk:<n>`. */
export const memoryKey = (memoryId: string, part: string): string => `mem:${memoryId}:${part}`;

/** The pointer to a key. */
export const pointerTo = (key: string): string => PREFIX + key;

export type StrictVerdict = "ok" | "untrimmed_or_too_long" | "wrong_scheme" | "ambiguous_key";

/** The rule of the CAP-PRODUCTION profile: at most 1024 bytes of unmistakable characters, nothing that a URL reader would take apart. */
export function judgeStrictly(pointer: string): StrictVerdict {
  if (pointer.trim() !== pointer || pointer.length > PREFIX.length + STRICT_KEY_BYTES_MAX)
    return "untrimmed_or_too_long";
  if (!pointer.startsWith(PREFIX)) return "wrong_scheme";
  const key = pointer.slice(PREFIX.length);
  const colon = key.indexOf(":");
  const beforeColon = colon === -1 ? key : key.slice(0, colon);
  return STRICT_KEY.test(key) && !key.includes("..") && !beforeColon.includes("@") ? "ok" : "ambiguous_key";
}
