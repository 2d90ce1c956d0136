// Where a managed key is listed.
// Owns:          the indexes of keys: what each is for, what its score means, how long entries live.
// Must not know: who lists.
// Live keys are listed without end, ended ones for ENDED_KEEP_MS, as long as their record is there.

import type { Layout } from "../ports/state.ts";
import type { Ms } from "../ports/time.ts";
import type { Entry } from "../records/record-store.ts";
import type { ManagedKey } from "./managed-key.ts";

export const KEY_INDEX = {
  /** of tenant: keys that may be used for it; score: creation. */
  live: "key.live",
  /** of tenant: revoked and expired keys; score: their end. */
  ended: "key.ended",
  /** of nobody: all live keys; score: creation. */
  all: "key.all",
} as const;

/** Long enough to find out who used a key that was revoked. */
export const ENDED_KEEP_MS: Ms = 90 * 86_400_000;

export function keyLayout(): Layout["indexes"] {
  const open = { score: "time", keepMs: "forever" } as const;
  return { [KEY_INDEX.live]: open, [KEY_INDEX.ended]: { score: "time", keepMs: ENDED_KEEP_MS }, [KEY_INDEX.all]: open };
}

export function entriesOfKey(key: ManagedKey): readonly Entry[] {
  const { endedAt: end } = key;
  if (end !== "never") return key.tenants.map((tenant) => ({ index: KEY_INDEX.ended, of: [tenant], score: end }));
  const score = key.createdAt;
  return [
    ...key.tenants.map((tenant) => ({ index: KEY_INDEX.live, of: [tenant], score })),
    { index: KEY_INDEX.all, of: [], score },
  ];
}
