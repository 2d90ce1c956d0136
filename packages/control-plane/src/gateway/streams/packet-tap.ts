// The tap: packets of the bus for those who listen by WebSocket.
// Owns:          one set of subscriptions for all listeners, whose packet is whose, what waits for a slow listener.
// Must not know: sockets, HTTP.
// X1. Whoever hears all tenants hears the packets that are on the bus. People of a tenant hear what concerns their jobs by the record, not
//     by what a packet says: submits and results are written from the record once they are committed, so that nobody on the bus can make
//     them up; progress counts from the worker that has the job; cancels are passed on. What concerns no job they do not hear.
// X2. Nobody here waits for a listener; each keeps a bounded number of frames, and one that is full is told so and dropped. What waits for
//     the store is bounded too, and dropped with a count: this stream has no memory, those of events do.
// X3. A frame is written once for all who get the same. X4. Without listeners there are no subscriptions.

import { type BusPacket, ID_CHARS_MAX, parsePacket, SUBJECTS } from "@cordum/protocol";
import { JOB_NEWS_SUBJECT, parseNews } from "../../jobs/announce.ts";
import { isTerminal, type Job } from "../../jobs/job.ts";
import type { JobParts } from "../../jobs/job-parts.ts";
import { workerBehind } from "../../jobs/report.ts";
import type { About, Subscription } from "../../ports/bus.ts";
import { messageOf } from "../../ports/fault.ts";
import type { Ms } from "../../ports/time.ts";
import { putNewest } from "../../records/newest.ts";
import { frameOf, resultOf, submitOf } from "./packet-frame.ts";

export interface Listener {
  readonly tenant: string | "every";
  /** Only what concerns this job; undefined: everything. */
  readonly jobId: string | undefined;
  /** Names of payloads, e.g. jobResult; undefined: all. */
  readonly kinds: ReadonlySet<string> | undefined;
  readonly namesSubject: boolean;
  /** False when there is no room for it. Never throws, never waits. */
  take(frame: Uint8Array): boolean;
  /** It was dropped. */
  full(): void;
}

const TAPPED = ["sys.job.>", SUBJECTS.heartbeat, SUBJECTS.alert, "sys.audit.>"];
const IN_FLIGHT_MAX = 64;
const WAITING_MAX = 2_048;
const AT_ONCE_MAX = 64;
const PAUSE_MS: Ms = 5;
const KNOWN_MAX = 10_000;
/** A job that is older than that when we first hear of it is not new. */
const NEW_MS: Ms = 60_000;

/** What was told of a job. */
interface Known {
  isSubmitTold: boolean;
  isEndTold: boolean;
}

type Heard =
  | {
      readonly kind: "packet";
      readonly subject: string;
      readonly packet: BusPacket;
      readonly jobId: string | undefined;
    }
  | { readonly kind: "news"; readonly jobId: string };

export class PacketTap {
  readonly #parts: JobParts;
  /** A part of what a listener keeps, and then the network has its turn: who reads as fast as it can is not dropped for a burst. */
  readonly #atOnce: number;
  readonly #listeners = new Set<Listener>();
  readonly #life = new AbortController();
  readonly #known = new Map<string, Known>();
  #waiting: Heard[] = [];
  #sorting: Promise<void> | undefined;
  #listening: Promise<readonly Subscription[]> | undefined;

  /** `keptMax`: frames that a listener keeps. */
  constructor(parts: JobParts, keptMax: number) {
    this.#parts = parts;
    this.#atOnce = Math.max(1, Math.min(AT_ONCE_MAX, Math.floor(keptMax / 4)));
  }

  /** From the moment at which this resolves. Gives back what ends it. Fault: BUS_UNAVAILABLE. */
  async join(listener: Listener): Promise<() => void> {
    this.#listeners.add(listener);
    const leave = (): void => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) void this.#hangUp();
    };
    const listening = this.#listening ?? this.#listen();
    this.#listening = listening;
    try {
      await listening;
    } catch (error) {
      if (this.#listening === listening) this.#listening = undefined;
      leave();
      throw error;
    }
    return leave;
  }

  async close(): Promise<void> {
    this.#life.abort();
    await this.#hangUp();
  }

  async #hangUp(): Promise<void> {
    const { clock, settings, log } = this.#parts;
    const listening = this.#listening;
    this.#listening = undefined;
    this.#waiting = [];
    try {
      const until = clock.deadline(this.#life.signal, settings.busTimeoutMs);
      await Promise.all((await listening)?.map((subscription) => subscription.drain(until)) ?? []);
    } catch (error) {
      log.warn("tap.not_hung_up", { reason: messageOf(error) });
    }
  }

  #listen(): Promise<readonly Subscription[]> {
    const { bus } = this.#parts;
    const ack = { kind: "ack" } as const;
    const spec = { keep: false, inFlightMax: IN_FLIGHT_MAX };
    return Promise.all([
      bus.subscribe({ subject: JOB_NEWS_SUBJECT, ...spec }, async (bytes) => {
        for (const { id, tenant } of parseNews(bytes))
          if (this.#isWanted(tenant)) this.#keep({ kind: "news", jobId: id });
        return ack;
      }),
      ...TAPPED.map((subject) =>
        bus.subscribe({ subject, ...spec }, async (bytes, about) => {
          this.#hear(bytes, about);
          return ack;
        }),
      ),
    ]);
  }

  #hear(bytes: Uint8Array, { subject }: About): void {
    const read = parsePacket(bytes);
    if (read.kind !== "packet" || read.packet.payload === undefined) return;
    const { payload } = read.packet;
    const jobId = "jobId" in payload.value ? payload.value.jobId : undefined;
    this.#keep({ kind: "packet", subject, packet: read.packet, jobId });
  }

  /** The tenant is what the news says: it spares a look at the record, it shows nothing. */
  #isWanted(tenant: string): boolean {
    for (const listener of this.#listeners) if (listener.tenant === tenant || listener.tenant === "every") return true;
    return false;
  }

  #keep(heard: Heard): void {
    if (heard.jobId !== undefined && heard.jobId.length > ID_CHARS_MAX) return;
    if (this.#waiting.length >= WAITING_MAX) {
      this.#parts.meter.count("cordum_gateway_ws_packets_dropped_total");
      return;
    }
    this.#waiting.push(heard);
    this.#sorting ??= this.#sort();
  }

  async #sort(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#life.signal.aborted) {
      const some = this.#waiting.splice(0, this.#atOnce);
      const records = await this.#load(some);
      for (const heard of some) {
        const job = heard.jobId === undefined ? undefined : records.get(heard.jobId);
        if (heard.kind === "packet") this.#pass(heard, job);
        else if (job !== undefined) this.#tell(job);
      }
      await this.#parts.clock.sleep(PAUSE_MS, this.#life.signal);
    }
    this.#sorting = undefined;
  }

  /** Records of jobs that a tenant's listener may hear of. */
  async #load(some: readonly Heard[]): Promise<ReadonlyMap<string, Job>> {
    const { jobs, clock, settings, log } = this.#parts;
    const ids = new Set(some.flatMap(({ jobId }) => (jobId === undefined ? [] : [jobId])));
    const records = new Map<string, Job>();
    try {
      const seen = await jobs.loadMany([...ids], clock.deadline(this.#life.signal, settings.storeTimeoutMs));
      for (const found of seen) if (found !== undefined) records.set(found.record.id, found.record);
    } catch (error) {
      if (!this.#life.signal.aborted) log.warn("tap.not_read", { count: ids.size, reason: messageOf(error) });
    }
    return records;
  }

  #pass({ packet, subject, jobId }: Heard & { readonly kind: "packet" }, job: Job | undefined): void {
    const frames = new Frames(packet, subject);
    if (packet.payload?.kind === "jobRequest" && job !== undefined) this.#know(job).isSubmitTold = true;
    for (const listener of this.#listeners) {
      const isShown = listener.tenant === "every" || (job?.tenant === listener.tenant && isForTenants(packet, job));
      if (isShown) this.#give(listener, frames, jobId);
    }
  }

  /** A change that was committed. */
  #tell(job: Job): void {
    const known = this.#know(job);
    if (!known.isSubmitTold) {
      known.isSubmitTold = true;
      const isNew = this.#parts.clock.now() - job.acceptedAt < NEW_MS;
      if (isNew) this.#write(submitOf(job), SUBJECTS.jobSubmit, job, true);
    }
    if (!isTerminal(job) || known.isEndTold) return;
    known.isEndTold = true;
    this.#write(resultOf(job), SUBJECTS.jobResult, job, false);
  }

  /** Whoever hears all tenants has heard the packet itself, unless there was none. */
  #write(packet: BusPacket | undefined, subject: string, job: Job, isForAll: boolean): void {
    if (packet === undefined) return;
    const frames = new Frames(packet, subject);
    for (const listener of this.#listeners)
      if (listener.tenant === job.tenant || (isForAll && listener.tenant === "every"))
        this.#give(listener, frames, job.id);
  }

  #give(listener: Listener, frames: Frames, jobId: string | undefined): void {
    if (listener.jobId !== undefined && listener.jobId !== jobId) return;
    if (listener.kinds !== undefined && !listener.kinds.has(frames.kind)) return;
    if (listener.take(frames.in(listener.namesSubject))) return;
    this.#listeners.delete(listener);
    listener.full();
  }

  #know(job: Job): Known {
    const known = this.#known.get(job.id) ?? { isSubmitTold: false, isEndTold: false };
    putNewest(this.#known, job.id, known, KNOWN_MAX);
    return known;
  }
}

function isForTenants({ payload, senderId }: BusPacket, { phase }: Job): boolean {
  if (payload?.kind === "jobCancel") return true;
  if (payload?.kind !== "jobProgress" || !("dispatch" in phase)) return false;
  return phase.dispatch.workerId === workerBehind(senderId, payload.value);
}

/** The two forms of one packet, each written when the first listener wants it. */
class Frames {
  readonly kind: string;
  readonly #packet: BusPacket;
  readonly #subject: string;
  readonly #forms = new Map<boolean, Buffer>();

  constructor(packet: BusPacket, subject: string) {
    this.#packet = packet;
    this.#subject = subject;
    this.kind = packet.payload?.kind ?? "";
  }

  in(namesSubject: boolean): Buffer {
    const known = this.#forms.get(namesSubject);
    if (known !== undefined) return known;
    const frame = frameOf(this.#packet, this.#subject, namesSubject);
    this.#forms.set(namesSubject, frame);
    return frame;
  }
}
