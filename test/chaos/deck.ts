// Which fault comes next.
// Owns:          the order, from the seed: all kinds come before one comes again.
// Must not know: how a fault is made.

import type { SeededRandom } from "@cordum/control-plane/adapters/system/seeded-random";
import { FAULTS, type Fault } from "./faults.ts";

export class Deck {
  readonly #chance: SeededRandom;
  #cards: Fault[] = [];

  constructor(chance: SeededRandom) {
    this.#chance = chance;
  }

  /** Faults that need a replica wait until there is one; then they come first. */
  next(hasReplica: boolean): Fault {
    const at = this.#cards.findIndex(({ needsReplica }) => needsReplica !== true || hasReplica);
    const [card] = at === -1 ? [] : this.#cards.splice(at, 1);
    if (card !== undefined) return card;
    this.#cards.push(...shuffled(FAULTS, this.#chance));
    return this.next(hasReplica);
  }
}

function shuffled<T>(list: readonly T[], chance: SeededRandom): readonly T[] {
  return list
    .map((each) => ({ each, at: chance.next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ each }) => each);
}
