// One look at everything that waits, every WATCH_MS.
// Owns:          when to look, as long as something waits.
// Must not know: what waits.
// Why not a listener and a timer for each: a signal's listener alone costs more than encoding what waits.

import type { Ms } from "../../ports/time.ts";
import type { RedisLink } from "./redis-link.ts";

const WATCH_MS = 50;

export class Watch {
  readonly #link: RedisLink;
  readonly #look: (now: Ms) => boolean;
  #isOn = false;

  /** `look` gives up what has waited for too long, and says whether anything waits still. */
  constructor(link: RedisLink, look: (now: Ms) => boolean) {
    this.#link = link;
    this.#look = look;
  }

  start(): void {
    if (!this.#isOn) void this.#run();
  }

  async #run(): Promise<void> {
    const { clock, closed } = this.#link;
    this.#isOn = true;
    do await clock.sleep(WATCH_MS, closed);
    while (this.#look(closed.aborted ? Number.POSITIVE_INFINITY : clock.mono()));
    this.#isOn = false;
  }
}
