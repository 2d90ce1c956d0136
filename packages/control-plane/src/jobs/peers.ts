// What placers tell each other, and overhear.
// Owns:          presence on a subject of our own; hearing all results, whoever handles them; hearing of jobs that wait.
// Must not know: shares (placers.ts), where a job is placed.
// E1. Nothing here is needed for a job to end: shares correct themselves by presence and heartbeats, slots of ends that nobody
//     heard of by looking (old-slots.ts), and jobs that wait are looked at once a second. E2. A result is overheard without group, read for its ids alone, and gives back the slot that this process holds.
// E3. A newcomer is answered at once, and places nothing before the answers can have come: otherwise it would take all slots for its own.
// E4. A word that cannot be sent is the sign that none can be heard. E5. Who is alone overhears nothing: what
//     ends or waits, it knows.

import { parsePacket, SUBJECTS } from "@cordum/protocol";
import type { Handle, Subscription } from "../ports/bus.ts";
import { messageOf } from "../ports/fault.ts";
import type { Ms } from "../ports/time.ts";
import { poolsFor } from "../scheduling/routing.ts";
import { JOB_NEWS_SUBJECT, parseNews } from "./announce.ts";
import type { Backlog } from "./backlog.ts";
import type { JobParts } from "./job-parts.ts";

export const PLACER_SUBJECT = "cordum.placer";
const PRESENCE_EVERY_MS: Ms = 2_000;
/** Many round trips on any bus that serves workers. */
const MEET_MS: Ms = 250;
const ID_CHARS_MAX = 64;
const ACK = { kind: "ack" } as const;
const IN_FLIGHT_MAX = 1_024;

export interface PeersAbout {
  readonly backlog: Backlog;
  /** Hears of each placer that has come. Must not reject. */
  onNewcomer(signal: AbortSignal): Promise<void>;
}

/** On a bus that only this process uses there is nobody to hear. */
export async function listenToPeers(parts: JobParts, about: PeersAbout): Promise<Peers> {
  const peers = new Peers(parts, about);
  if (parts.bus.traits.shared) await peers.listen();
  return peers;
}

export class Peers implements Subscription {
  readonly #parts: JobParts;
  readonly #about: PeersAbout;
  #presence: Subscription | undefined;
  /** See E5. */
  #overheard: readonly Subscription[] = [];
  #following: Promise<void> = Promise.resolve();
  #isLeaving = false;

  constructor(parts: JobParts, about: PeersAbout) {
    this.#parts = parts;
    this.#about = about;
  }

  async listen(): Promise<void> {
    const about = { subject: PLACER_SUBJECT, keep: false, inFlightMax: IN_FLIGHT_MAX };
    this.#presence = await this.#parts.bus.subscribe(about, this.#hear);
  }

  /** Says that this placer is there, and hears who else is; see E3. */
  async meet(signal: AbortSignal): Promise<void> {
    if (this.#presence === undefined) return;
    await say({ id: this.#parts.placers.self }, this.#parts, signal);
    await this.#parts.clock.sleep(MEET_MS, signal);
    await this.#following;
  }

  /** Goes on saying that this placer is there, until `signal` fires. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#presence === undefined) return;
    while (await this.#parts.clock.sleep(PRESENCE_EVERY_MS, signal)) {
      await say({ id: this.#parts.placers.self }, this.#parts, signal);
      await this.#follow();
    }
  }

  /** Says that it goes, so that the others share its part at once. */
  async leave(signal: AbortSignal): Promise<void> {
    if (this.#presence !== undefined) await say({ id: this.#parts.placers.self, leaves: true }, this.#parts, signal);
  }

  async drain(signal: AbortSignal): Promise<void> {
    this.#isLeaving = true;
    await this.#following;
    const all = this.#presence === undefined ? [] : [this.#presence, ...this.#overheard];
    await Promise.all(all.map((subscription) => subscription.drain(signal)));
  }

  readonly #hear: Handle = async (bytes, _about, signal) => {
    const word = parseWord(bytes);
    const { placers, clock, log } = this.#parts;
    if (word === undefined || word.id === placers.self) return ACK;
    if (word.leaves) placers.leave(word.id);
    else if (placers.hear(word.id, clock.now())) {
      log.info("placer.appeared", { placer: word.id });
      await say({ id: placers.self }, this.#parts, signal);
      await Promise.all([this.#about.onNewcomer(signal), this.#follow()]);
    }
    return ACK;
  };

  #follow(): Promise<void> {
    this.#following = this.#following.then(() => this.#followNow());
    return this.#following;
  }

  /** Never rejects: what cannot be done now is tried again with the next word. */
  async #followNow(): Promise<void> {
    const { bus, clock, log, settings } = this.#parts;
    const isDone = isAlone(this.#parts) === (this.#overheard.length === 0);
    if (isDone || this.#isLeaving) return;
    const left = this.#overheard;
    const about = { keep: false, inFlightMax: IN_FLIGHT_MAX };
    try {
      if (left.length === 0) {
        const onResult = overhearResult(this.#parts, this.#about.backlog);
        const onNews = hearNews(this.#parts, this.#about.backlog);
        const results = await bus.subscribe({ ...about, subject: SUBJECTS.jobResult }, onResult);
        this.#overheard = [results];
        this.#overheard = [results, await bus.subscribe({ ...about, subject: JOB_NEWS_SUBJECT }, onNews)];
        return;
      }
      this.#overheard = [];
      const deadline = clock.deadline(NEVER, settings.busTimeoutMs);
      await Promise.all(left.map((subscription) => subscription.drain(deadline)));
    } catch (error) {
      log.warn("peers.not_overheard", { reason: messageOf(error) });
    }
  }
}

const NEVER = new AbortController().signal;

async function say(
  word: { readonly id: string; readonly leaves?: boolean },
  parts: JobParts,
  signal: AbortSignal,
): Promise<void> {
  try {
    await parts.bus.publish(
      PLACER_SUBJECT,
      Buffer.from(JSON.stringify(word)),
      parts.clock.deadline(signal, PRESENCE_EVERY_MS),
    );
  } catch (error) {
    if (signal.aborted) return;
    parts.placers.excuseSilence(parts.clock.now());
    parts.log.warn("presence.not_sent", { reason: messageOf(error) });
  }
}

function parseWord(bytes: Uint8Array): { readonly id: string; readonly leaves: boolean } | undefined {
  try {
    const word: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (word === null || typeof word !== "object" || !("id" in word) || typeof word.id !== "string") return undefined;
    return word.id.length > ID_CHARS_MAX
      ? undefined
      : { id: word.id, leaves: "leaves" in word && word.leaves === true };
  } catch {
    return undefined;
  }
}

function overhearResult(parts: JobParts, backlog: Backlog): Handle {
  return async (bytes) => {
    if (isAlone(parts)) return ACK;
    const parsed = parsePacket(bytes);
    if (parsed.kind !== "packet" || parsed.packet.payload?.kind !== "jobResult") return ACK;
    const { jobId, workerId } = parsed.packet.payload.value;
    parts.registry.noteEnded(jobId, workerId, parts.clock.now());
    backlog.hintJobEnded();
    return ACK;
  };
}

/** A job that its own process could not place may find a worker of whose slots this one has a share. */
function hearNews(parts: JobParts, backlog: Backlog): Handle {
  return async (bytes) => {
    if (isAlone(parts)) return ACK;
    const waiting = new Set<string>();
    for (const { state, topic } of parseNews(bytes)) {
      if (state === "SCHEDULED")
        for (const pool of poolsFor(parts.scheduling.current.routing, topic)) waiting.add(pool);
    }
    for (const pool of waiting) backlog.pull(pool);
    return ACK;
  };
}

/** See E5. */
function isAlone({ placers, clock }: JobParts): boolean {
  return placers.isAlone(clock.now());
}
