// How managed keys lie in State.
// Owns:          the record's kind, and how long ended keys are kept.
// Must not know: who may see them.
// A key lies in the partition of its id: one commit covers both of its secrets and the audit entry.

import type { Clock } from "../ports/clock.ts";
import type { Json } from "../ports/json.ts";
import type { State } from "../ports/state.ts";
import { RecordStore } from "../records/record-store.ts";
import { ENDED_KEEP_MS, entriesOfKey } from "./key-indexes.ts";
import { alarmOfKey, KEY_KIND, type ManagedKey, parseManagedKey } from "./managed-key.ts";

export type KeyStore = RecordStore<ManagedKey>;

export function openKeyStore(state: State, clock: Clock): KeyStore {
  return new RecordStore<ManagedKey>(state, clock, {
    kind: KEY_KIND,
    idOf: (key) => key.id,
    parse: parseManagedKey,
    write: (key) => key as unknown as Json,
    entriesOf: entriesOfKey,
    alarmOf: alarmOfKey,
    keepMsOf: (key) => (key.endedAt === "never" ? undefined : ENDED_KEEP_MS),
  });
}
