// What an error answer of Redis means.
// Owns:          the one table of errors. Every error of the table is answered before a script or command has any effect.
// Must not know: which call was answered.

export type Meaning =
  /** Nothing was done; the same call may succeed in a moment, perhaps elsewhere. */
  | { readonly kind: "again" }
  /** Nothing was done; this server is no longer the one to ask. */
  | { readonly kind: "elsewhere" }
  | { readonly kind: "moved"; readonly address: string }
  | { readonly kind: "ask"; readonly address: string }
  | { readonly kind: "no_script" }
  /** Nothing was done, and somebody has to act. */
  | { readonly kind: "refused"; readonly hint: string }
  /** Not in the table: a script may have stopped half-way. */
  | { readonly kind: "unknown" };

const TABLE: { readonly [code: string]: Meaning } = {
  LOADING: { kind: "again" },
  BUSY: { kind: "again" },
  TRYAGAIN: { kind: "again" },
  CLUSTERDOWN: { kind: "elsewhere" },
  MASTERDOWN: { kind: "elsewhere" },
  READONLY: { kind: "elsewhere" },
  NOSCRIPT: { kind: "no_script" },
  OOM: { kind: "refused", hint: "Redis has reached maxmemory; raise it, or shorten how long jobs are kept" },
  MISCONF: { kind: "refused", hint: "Redis cannot write its file and refuses changes; look at its disk and log" },
  NOREPLICAS: { kind: "refused", hint: "Redis has fewer connected replicas than min-replicas-to-write" },
  NOAUTH: { kind: "refused", hint: "Redis asks for a password; put it into REDIS_URL" },
  WRONGPASS: { kind: "refused", hint: "Redis does not accept the user or password of REDIS_URL" },
  NOPERM: { kind: "refused", hint: "the Redis user of REDIS_URL may not use the keys cordum:*, or lacks a command" },
};

/** `message` is the error as Redis wrote it; its first word is the code. */
export function meaningOf(message: string): Meaning {
  const [code = "", , address = ""] = message.split(" ", 3);
  if (code === "MOVED") return { kind: "moved", address };
  if (code === "ASK") return { kind: "ask", address };
  // Since Redis 7 an error inside a script keeps its code, but older messages name it after "ERR".
  return Object.hasOwn(TABLE, code) ? (TABLE[code] ?? { kind: "unknown" }) : { kind: "unknown" };
}
