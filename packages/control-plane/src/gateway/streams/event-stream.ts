// Server-sent events over one response.
// Owns:          the form of events, sending at the reader's pace, keep-alives, cutting a reader that reads nothing.
// Must not know: what events mean, where they come from.
// V1. The next event is asked for when the last one was taken: what waits for a reader waits where its bound is (jobs/job-follower.ts).
// V2. A reader that takes nothing for STALLED_MS is cut. V3. A stream that is silent says a comment and its safe place every KEEP_ALIVE_MS,
//     so that proxies keep it and a reader that comes back begins late.

import type { FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../../ports/clock.ts";
import type { Ms } from "../../ports/time.ts";

export interface StreamEvent {
  readonly id: string;
  readonly event: string;
  /** One line. */
  readonly data: string;
}

export const EVENT_STREAM = "text/event-stream";
export const KEEP_ALIVE_MS: Ms = 15_000;
export const STALLED_MS: Ms = 60_000;
/** After which a reader whose stream ended comes again. */
const RETRY_MS: Ms = 2_000;

/** Whether the request names events as what it wants. */
export function wantsEvents(request: FastifyRequest): boolean {
  return accepted(request).includes(EVENT_STREAM);
}

/** Whether the request takes events: it names them, or takes anything, or says nothing. */
export function takesEvents(request: FastifyRequest): boolean {
  const types = accepted(request);
  return types.length === 0 || types.some((type) => type === EVENT_STREAM || type === "*/*" || type === "text/*");
}

function accepted({ headers }: FastifyRequest): readonly string[] {
  const types = (headers.accept ?? "").split(",").map((type) => type.split(";", 1)[0]?.trim().toLowerCase() ?? "");
  return types.filter((type) => type !== "");
}

export class EventStream {
  readonly #reply: FastifyReply;
  readonly #clock: Clock;
  readonly #over = new AbortController();
  readonly #gone = Promise.withResolvers<void>();
  #isBlocked = false;

  /** The head goes out now. */
  constructor(request: FastifyRequest, reply: FastifyReply, clock: Clock) {
    this.#reply = reply;
    this.#clock = clock;
    const { raw } = reply;
    reply.hijack();
    // The limit for answers would end a stream that has nothing to say.
    request.raw.socket.setTimeout(0);
    request.raw.socket.setNoDelay(true);
    for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
    raw.writeHead(200, {
      "content-type": `${EVENT_STREAM}; charset=utf-8`,
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no",
    });
    raw.on("error", () => raw.destroy());
    raw.on("close", () => {
      this.#over.abort();
      this.#gone.resolve();
    });
    if (raw.destroyed) this.#over.abort();
    else raw.write(`retry: ${RETRY_MS}\n\n`);
  }

  /** Fires when nothing can be sent any more. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  /** Resolves when the reader has room for more, or when the stream is over. Never rejects. */
  async send({ id, event, data }: StreamEvent): Promise<void> {
    await this.#write(`id: ${id}\nevent: ${event}\ndata: ${data}\n\n`);
  }

  /** Until the stream is over. `place`: the id with which a reader goes on from here. */
  async keepAlive(place: () => string | undefined): Promise<void> {
    while (await this.#clock.sleep(KEEP_ALIVE_MS, this.over)) {
      if (this.#isBlocked) continue;
      const id = place();
      // A block without data moves the reader's last id and is no event.
      void this.#write(id === undefined ? ": alive\n\n" : `: alive\nid: ${id}\n\n`);
    }
  }

  /** Says why in a comment, and ends; resolves when the connection is gone, which it is soon after `deadline` fires. */
  async end(why: string, deadline: AbortSignal): Promise<void> {
    const { raw } = this.#reply;
    if (!raw.writableEnded) {
      this.#over.abort();
      raw.end(`: ${why}\n\n`);
    }
    const cut = (): void => void raw.destroy();
    if (deadline.aborted || this.#isBlocked) cut();
    deadline.addEventListener("abort", cut, { once: true });
    await this.gone;
    deadline.removeEventListener("abort", cut);
  }

  async #write(text: string): Promise<void> {
    const { raw } = this.#reply;
    if (this.over.aborted || raw.write(text)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const isTaken = new AbortController();
    this.#isBlocked = true;
    raw.once("drain", resolve);
    const onOver = (): void => resolve();
    this.over.addEventListener("abort", onOver);
    void this.#clock.sleep(STALLED_MS, isTaken.signal).then((isStalled) => {
      if (isStalled) raw.destroy();
    });
    await promise;
    isTaken.abort();
    raw.removeListener("drain", resolve);
    this.over.removeEventListener("abort", onOver);
    this.#isBlocked = false;
  }
}
