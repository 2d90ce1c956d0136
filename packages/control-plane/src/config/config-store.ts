// How documents of configuration lie in State.
// Owns:          kind, ids, index.
// Must not know: what a document says.
// All documents of a tenant lie in the partition of its name, those of the installation in that of "*", which names no tenant: so what holds
// for a job is read, and how much a tenant keeps is counted, in two partitions at most.

import { derivedUuid } from "../jobs/ids.ts";
import type { Clock } from "../ports/clock.ts";
import type { Json } from "../ports/json.ts";
import { partitionOf } from "../ports/partition.ts";
import type { IndexKey, Layout, State } from "../ports/state.ts";
import { RecordStore } from "../records/record-store.ts";
import { readShape } from "../records/shape.ts";
import { CONFIG_KIND, CONFIG_SHAPE, type ConfigAddress, type ConfigDocument } from "./document.ts";

/** of owner and scope; score: the last change. */
export const CONFIG_INDEX = "config.scope";
export type ConfigStore = RecordStore<ConfigDocument>;

export function configLayout(): Layout["indexes"] {
  return { [CONFIG_INDEX]: { score: "time", keepMs: "forever" } };
}

export function configId(address: ConfigAddress): string {
  return `${ownerOf(address)}:${derivedUuid("config", address.scope, address.scopeId)}`;
}

/** The documents of one scope that an owner keeps. */
export function scopeIndex(address: Pick<ConfigAddress, "tenant" | "scope">, state: State): IndexKey {
  const owner = ownerOf(address);
  return { partition: partitionOf(owner, state.traits.partitions), index: CONFIG_INDEX, of: [owner, address.scope] };
}

export function openConfigStore(state: State, clock: Clock): ConfigStore {
  return new RecordStore<ConfigDocument>(state, clock, {
    kind: CONFIG_KIND,
    idOf: configId,
    parse: (value) => readShape<ConfigDocument>(value, CONFIG_SHAPE, "config document"),
    write: (document) => document as unknown as Json,
    entriesOf: (document) => [
      { index: CONFIG_INDEX, of: [ownerOf(document), document.scope], score: document.updatedAt },
    ],
    alarmOf: () => "never",
    keepMsOf: () => undefined,
  });
}

function ownerOf({ tenant }: Pick<ConfigAddress, "tenant">): string {
  return tenant === "" ? "*" : tenant;
}
