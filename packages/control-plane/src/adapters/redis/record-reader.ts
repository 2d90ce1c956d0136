// How reads of records travel to Redis.
// Owns:          which reads share an MGET: those of one turn, and those that arrive while calls are under way.
// Must not know: what is read.

import { Fault } from "../../ports/fault.ts";
import type { RecordKey, Stored } from "../../ports/state.ts";
import { recordName, slotOfPartition } from "./keys.ts";
import type { RedisLink } from "./redis-link.ts";
import type { Reply } from "./redis-node.ts";
import { parseStored } from "./stored.ts";
import { untilAborted } from "./until-aborted.ts";

const KEYS_PER_CALL_MAX = 512;
const CALLS_MAX = 4;

interface Request {
  readonly key: RecordKey;
  readonly resolve: (raw: string | undefined) => void;
  readonly reject: (error: unknown) => void;
}

interface Lane {
  readonly slot: number;
  waiting: Request[];
  underWay: number;
  isCalled: boolean;
}

export class RecordReader {
  readonly #link: RedisLink;
  readonly #waitingMax: number;
  readonly #lanes = new Map<number, Lane>();

  constructor(link: RedisLink, waitingMax: number) {
    this.#link = link;
    this.#waitingMax = waitingMax;
  }

  async read(keys: readonly RecordKey[], signal: AbortSignal): Promise<readonly (Stored | undefined)[]> {
    if (keys.length === 0) return [];
    const deadline = this.#link.clock.deadline(signal, this.#link.settings.callMsMax);
    const texts = await untilAborted(Promise.all(keys.map((key) => this.#ask(key))), deadline);
    if (texts === undefined) throw new Fault("STATE_UNAVAILABLE", "Redis did not answer in time");
    return keys.map((key, at) => {
      const text = texts[at];
      return text === undefined ? undefined : parseStored(key, text);
    });
  }

  #ask(key: RecordKey): Promise<string | undefined> {
    const lane = this.#laneOf(key.partition);
    if (lane.waiting.length >= this.#waitingMax) {
      return Promise.reject(new Fault("STATE_UNAVAILABLE", `${lane.waiting.length} reads wait for Redis already`));
    }
    return new Promise((resolve, reject) => {
      lane.waiting.push({ key, resolve, reject });
      this.#callSoon(lane);
    });
  }

  #laneOf(partition: number): Lane {
    const slot = this.#link.isCluster ? slotOfPartition(partition) : 0;
    const known = this.#lanes.get(slot);
    if (known !== undefined) return known;
    const lane: Lane = { slot, waiting: [], underWay: 0, isCalled: false };
    this.#lanes.set(slot, lane);
    return lane;
  }

  #callSoon(lane: Lane): void {
    if (lane.isCalled) return;
    lane.isCalled = true;
    process.nextTick(() => {
      lane.isCalled = false;
      while (lane.waiting.length > 0 && lane.underWay < CALLS_MAX) void this.#call(lane);
    });
  }

  async #call(lane: Lane): Promise<void> {
    const requests = lane.waiting.slice(0, KEYS_PER_CALL_MAX);
    lane.waiting = lane.waiting.slice(KEYS_PER_CALL_MAX);
    lane.underWay++;
    const names = requests.map((request) => recordName(request.key));
    try {
      const options = { signal: this.#link.closed, code: "STATE_UNAVAILABLE" } as const;
      const reply = await this.#link.run(lane.slot, { name: "MGET", args: names }, options);
      for (const [at, request] of requests.entries()) request.resolve(textAt(reply, at));
    } catch (error) {
      for (const request of requests) request.reject(error);
    } finally {
      lane.underWay--;
      this.#callSoon(lane);
    }
  }
}

function textAt(reply: Reply, at: number): string | undefined {
  const text: unknown = Array.isArray(reply) ? reply[at] : undefined;
  return typeof text === "string" ? text : undefined;
}
