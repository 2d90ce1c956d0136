// Ids that came lately.
// Owns:          how many are kept: at least half of what it may hold.
// Must not know: what they are of.

/** In two generations: the older is dropped whole, which costs less than finding the oldest one each time. */
export class RecentIds {
  readonly #ofGeneration: number;
  #newer = new Set<string>();
  #older = new Set<string>();

  constructor(most: number) {
    this.#ofGeneration = most / 2;
  }

  add(id: string): void {
    if (this.#newer.size === this.#ofGeneration) {
      this.#older = this.#newer;
      this.#newer = new Set();
    }
    this.#newer.add(id);
  }

  /** False when it is not there. */
  delete(id: string): boolean {
    const wasNewer = this.#newer.delete(id);
    return this.#older.delete(id) || wasNewer;
  }
}
