// How reads of records travel to Redis.
// Owns:          the MGET that reads of one turn share (gather.ts).
// Must not know: what is read.

import type { RecordKey, Stored } from "../../ports/state.ts";
import { Gather } from "./gather.ts";
import { recordName, slotOfPartition } from "./keys.ts";
import type { RedisLink } from "./redis-link.ts";
import { parseStored } from "./stored.ts";

const KEYS_PER_COMMAND_MAX = 512;

export class RecordReader {
  readonly #link: RedisLink;
  readonly #names: Gather<string>;

  constructor(link: RedisLink, waitingMax: number) {
    this.#link = link;
    this.#names = new Gather(link, {
      code: "STATE_UNAVAILABLE",
      waitingMax,
      weightMax: KEYS_PER_COMMAND_MAX,
      weightOf: () => 1,
      commandFor: (names) => ({ name: "MGET", args: names }),
    });
  }

  async read(keys: readonly RecordKey[], signal: AbortSignal): Promise<readonly (Stored | undefined)[]> {
    const asked = keys.map((key) => [this.#slotOf(key), recordName(key)] as const);
    const texts = await this.#names.ask(asked, signal);
    return keys.map((key, at) => {
      const text = texts[at];
      return typeof text === "string" ? parseStored(key, text) : undefined;
    });
  }

  #slotOf({ partition }: RecordKey): number {
    return this.#link.isCluster ? slotOfPartition(partition) : 0;
  }
}
