// How managed keys lie in State.
// Owns:          the kind, its indexes, how long ended keys are kept.
// Must not know: who may see them.
// S1. A key lies in the partition of its id: one commit covers both of its secrets and the audit entry. S2. Live keys are listed without end,
//     ended ones for ENDED_KEEP_MS, as long as their record is there.

import type { Clock } from "../ports/clock.ts";
import type { Json } from "../ports/json.ts";
import type { Layout, State } from "../ports/state.ts";
import type { Ms } from "../ports/time.ts";
import { type Entry, RecordStore } from "../records/record-store.ts";
import { alarmOfKey, endOf, KEY_KIND, type ManagedKey, parseManagedKey } from "./managed-key.ts";

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

export type KeyStore = RecordStore<ManagedKey>;

export function openKeyStore(state: State, clock: Clock): KeyStore {
  return new RecordStore<ManagedKey>(state, clock, {
    kind: KEY_KIND,
    idOf: (key) => key.id,
    parse: parseManagedKey,
    write: (key) => key as unknown as Json,
    entriesOf: entriesOfKey,
    alarmOf: alarmOfKey,
    keepMsOf: (key) => (endOf(key) === undefined ? undefined : ENDED_KEEP_MS),
  });
}

function entriesOfKey(key: ManagedKey): readonly Entry[] {
  const end = endOf(key);
  if (end !== undefined) return key.tenants.map((tenant) => ({ index: KEY_INDEX.ended, of: [tenant], score: end }));
  const score = key.createdAt;
  return [
    ...key.tenants.map((tenant) => ({ index: KEY_INDEX.live, of: [tenant], score })),
    { index: KEY_INDEX.all, of: [], score },
  ];
}
