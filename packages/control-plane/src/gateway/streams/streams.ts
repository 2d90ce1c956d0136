// Everything that streams of this process share.
// Owns:          the feed of jobs, the tap of packets, their beginning and end.
// Must not know: routes.

import { JobFeed } from "../../jobs/job-feed.ts";
import type { JobParts } from "../../jobs/job-parts.ts";
import { PacketTap } from "./packet-tap.ts";

export interface StreamSettings {
  /** Events or frames that wait for one reader. */
  readonly waitingMax: number;
}

export const DEFAULT_STREAM_SETTINGS: StreamSettings = { waitingMax: 256 };

export class Streams {
  readonly feed: JobFeed;
  readonly tap: PacketTap;

  constructor(parts: JobParts, { waitingMax }: StreamSettings) {
    this.feed = new JobFeed(parts);
    this.tap = new PacketTap(parts, waitingMax);
  }

  /** Until `signal` fires. */
  run(signal: AbortSignal): Promise<void> {
    return this.feed.run(signal);
  }

  /** The bus was away, or lost messages. */
  catchUp(): void {
    this.feed.catchUp();
  }

  async close(deadline: AbortSignal): Promise<void> {
    await Promise.all([this.feed.close(deadline), this.tap.close()]);
  }
}
