// A request that is answered with events.
// Owns:          holding the connection, sending one event after the other, the end by drain, by the key's end, by a fault.
// Must not know: what the events are.
// Q1. What refuses a stream refuses it before its first byte, with a problem. Q2. A fault on the way ends the stream: its reader comes back
//     with the last id and goes on.

import type { FastifyReply, FastifyRequest } from "fastify";
import { messageOf } from "../../ports/fault.ts";
import type { EndCause } from "../held-connections.ts";
import { callerOf, type RouteParts } from "../http/route-parts.ts";
import { bucketOfAddress } from "../rate-limit.ts";
import { EventStream, type StreamEvent } from "./event-stream.ts";

export interface EventSource {
  /** Until there are no more, or `signal` fires. */
  events(signal: AbortSignal): AsyncIterable<StreamEvent>;
  /** The id with which a reader goes on from here. */
  place(): string | undefined;
}

const WHY: { readonly [cause in EndCause]: string } = {
  draining: "this process is about to end; connect again",
  credential_ended: "the key has ended",
  closing: "closed",
};

/** Holds the request, and opens its source; what that throws is the answer. "nothing": there is nothing to tell any more. */
export async function answerWithEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  parts: RouteParts,
  open: (signal: AbortSignal) => Promise<EventSource | "nothing">,
): Promise<void> {
  const { held, jobParts, log, meter } = parts;
  const { clock } = jobParts;
  const life = new AbortController();
  let stream: EventStream | undefined;
  const release = held.hold({
    kind: "stream",
    caller: callerOf(request),
    address: bucketOfAddress(request.ip ?? ""),
    end: async (cause, deadline) => {
      life.abort();
      await stream?.end(WHY[cause], deadline);
    },
  });
  try {
    const source = await open(life.signal);
    // Browsers come back after every end, until they are told that there is nothing.
    if (source === "nothing") {
      void reply.code(204).send();
      return;
    }
    const opened = new EventStream(request, reply, clock);
    stream = opened;
    opened.over.addEventListener("abort", () => life.abort(), { once: true });
    tellSize(parts);
    void opened.keepAlive(() => source.place());
    for await (const event of source.events(life.signal)) {
      await opened.send(event);
      if (life.signal.aborted) break;
    }
    await opened.end("end", clock.deadline(NEVER, END_MS));
  } catch (error) {
    if (stream === undefined) throw error;
    if (!life.signal.aborted) log.warn("stream.broken", { reason: messageOf(error) });
    await stream.end("interrupted; connect again", clock.deadline(NEVER, END_MS));
  } finally {
    life.abort();
    release();
    tellSize(parts);
  }

  function tellSize({ held: all }: RouteParts): void {
    meter.gauge("cordum_gateway_streams_active", all.count("stream"));
  }
}

const NEVER = new AbortController().signal;
const END_MS = 2_000;
