// Requests of a worker that are under way.
// Owns:          how many there are, how many bytes are in them, how many loads run at once.
// Must not know: what is requested.
// Q1. A request counts until its answer has been taken by the socket: a worker that asks and does not read has used up what it may ask.

export interface RequestLimits {
  readonly requestsMax: number;
  readonly requestBytesMax: number;
  readonly loadsAtOnce: number;
}

export class Requests {
  readonly #limits: RequestLimits;
  readonly #underWay = new Map<number, number>();
  readonly #waiting: (() => void)[] = [];
  #bytes = 0;
  #loads = 0;

  constructor(limits: RequestLimits) {
    this.#limits = limits;
  }

  /** What is wrong with another request; undefined: it is under way now. One alone may be as large as it likes. */
  begin(id: number, bytes: number): "too_much" | "id_in_use" | undefined {
    const { requestsMax, requestBytesMax } = this.#limits;
    if (this.#underWay.has(id)) return "id_in_use";
    const isTooMuch = this.#underWay.size >= requestsMax || (this.#bytes > 0 && this.#bytes + bytes > requestBytesMax);
    if (isTooMuch) return "too_much";
    this.#underWay.set(id, bytes);
    this.#bytes += bytes;
    return undefined;
  }

  end(id: number): void {
    this.#bytes -= this.#underWay.get(id) ?? 0;
    this.#underWay.delete(id);
  }

  /** Runs `load` when it is its turn. */
  async inTurn(load: () => Promise<void>): Promise<void> {
    if (this.#loads >= this.#limits.loadsAtOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#loads++;
    try {
      await load();
    } finally {
      // The turn goes on to whoever waits.
      const next = this.#waiting.shift();
      if (next === undefined) this.#loads--;
      else next();
    }
  }
}
