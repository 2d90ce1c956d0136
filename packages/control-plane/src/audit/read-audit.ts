// Reading what was done in a tenant.
// Owns:          the walk over the partitions' logs.
// Must not know: what the entries are about.

import type { State } from "../ports/state.ts";
import { partitionsOf } from "../records/across-partitions.ts";
import { AUDIT_LOG, type AuditEntry, parseAuditEntry } from "./audit-entry.ts";

/** The oldest `limit` entries of each partition, in order of time. */
export async function readAudit(
  state: State,
  query: { readonly tenant: string; readonly limit: number },
  signal: AbortSignal,
): Promise<readonly AuditEntry[]> {
  const pages = await Promise.all(
    partitionsOf(state).map((partition) =>
      state.read({ partition, log: AUDIT_LOG, of: query.tenant }, undefined, query.limit, signal),
    ),
  );
  return pages
    .flatMap((page) => page.entries.map(({ entry }) => parseAuditEntry(entry)))
    .sort((a, b) => a.at - b.at)
    .slice(0, query.limit);
}
