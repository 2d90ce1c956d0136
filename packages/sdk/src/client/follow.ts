// Follow: one stream of events over as many connections as it takes.
// Owns:          connecting again, going on from the last id, when silence means that the connection is dead, the end of patience.
// Must not know: what events mean, which route.
// F1. A connection that breaks, ends or is silent is replaced by one that begins at the last id. F2. What will not go away by itself (no
//     right, no such job) ends it, and so does a server that is away for longer than `patienceMs`. F3. Who stops reading closes the connection.

import { backoffMs } from "../backoff.ts";
import type { Runtime } from "../runtime.ts";
import { EventReader, type ServerEvent } from "./event-reader.ts";
import type { Call, Http, Opened } from "./http.ts";

export interface Following {
  readonly http: Http;
  readonly runtime: Runtime;
  readonly call: Call;
  readonly signal: AbortSignal;
  readonly lastEventId: string | undefined;
  readonly patienceMs: number;
}

const BACKOFF = { baseMs: 500, capMs: 15_000 };
const RETRY_MS = 2_000;
/** The server says something every 15 s. */
const SILENCE_MS = 50_000;

/** Events until the server says that there are no more. Throws CordumError, or the signal's reason. */
export async function* follow(following: Following): AsyncGenerator<ServerEvent, void, undefined> {
  const { http, call, signal } = following;
  const journey = new Journey(following);
  for (;;) {
    signal.throwIfAborted();
    const opened = await http.open({ ...call, signal }, eventHeaders(journey.lastEventId));
    if (opened.kind === "failed") journey.noteFailure(opened);
    else if (opened.response.status === 204) return opened.close();
    else yield* eventsOf(opened, journey, following);
    await journey.rest();
  }
}

/** What lasts from one connection to the next. */
class Journey {
  readonly #following: Following;
  lastEventId: string;
  #retryMs = RETRY_MS;
  #askedMs: number | undefined;
  #failures = 0;
  #lostAt: number;

  constructor(following: Following) {
    this.#following = following;
    this.lastEventId = following.lastEventId ?? "";
    this.#lostAt = following.runtime.mono();
  }

  noteHeard({ lastEventId, retryMs }: EventReader): void {
    this.lastEventId = lastEventId;
    this.#retryMs = retryMs ?? this.#retryMs;
    this.#failures = 0;
    this.#lostAt = this.#following.runtime.mono();
  }

  /** Throws what will not go away, or has not for too long. */
  noteFailure({ again, error, waitMs }: Extract<Opened, { readonly kind: "failed" }>): void {
    const { runtime, patienceMs } = this.#following;
    if (!again || runtime.mono() - this.#lostAt >= patienceMs) throw error;
    this.#askedMs = waitMs;
  }

  /** Until it is time to connect again. */
  async rest(): Promise<void> {
    const { runtime, signal } = this.#following;
    const random = runtime.random();
    this.#failures += 1;
    const backoff =
      this.#failures === 1 ? this.#retryMs * (0.5 + random / 2) : backoffMs(this.#failures, BACKOFF, random);
    await runtime.sleep(this.#askedMs ?? backoff, signal);
    this.#askedMs = undefined;
  }
}

function eventHeaders(lastEventId: string): readonly [string, string][] {
  const accept: [string, string] = ["accept", "text/event-stream, application/problem+json"];
  return lastEventId === "" ? [accept] : [accept, ["last-event-id", lastEventId]];
}

/** Of one connection, until it breaks, ends, or is silent for too long. */
async function* eventsOf(
  { response, close }: Extract<Opened, { readonly kind: "opened" }>,
  journey: Journey,
  { runtime, signal }: Following,
): AsyncGenerator<ServerEvent, void, undefined> {
  const reader = new EventReader(journey.lastEventId);
  const decoder = new TextDecoder();
  const body = response.body?.getReader();
  try {
    for (;;) {
      const chunk = await chunkOf(body, runtime, signal);
      if (chunk === undefined) return;
      // The id of an event counts once the event was taken.
      yield* reader.push(decoder.decode(chunk, { stream: true }));
      journey.noteHeard(reader);
    }
  } finally {
    close();
  }
}

/** Undefined: there will be no more. Throws the signal's reason. */
async function chunkOf(
  body: ReadableStreamDefaultReader<Uint8Array> | undefined,
  runtime: Runtime,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const heard = new AbortController();
  const silence = runtime.sleep(SILENCE_MS, AbortSignal.any([heard.signal, signal])).then(() => undefined);
  try {
    const chunk = await Promise.race([body?.read(), silence]);
    signal.throwIfAborted();
    return chunk?.value;
  } catch {
    signal.throwIfAborted();
    return undefined; // a broken connection
  } finally {
    heard.abort();
  }
}
