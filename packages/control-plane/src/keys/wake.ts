// The alarms of managed keys.
// Owns:          what happens when a grace or a key ends.
// Must not know: who is told.
// Nothing depends on the moment: a secret counts by its own time (managed-key.ts). The alarm only clears away.

import type { Clock } from "../ports/clock.ts";
import type { KeyStore } from "./key-store.ts";
import { tidy } from "./managed-key.ts";

export async function wakeKey(
  id: string,
  { keys, clock }: { readonly keys: KeyStore; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  const seen = await keys.load(id, signal);
  if (seen === undefined) return;
  // After a lost race there is a newer alarm. The save is made even when nothing ended: it sets the alarm anew.
  await keys.replace(seen, tidy(seen.record, clock.now()), {}, signal);
}
