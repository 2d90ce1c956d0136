// The watch over a durable consumer.
// Owns:          finding out that a consumer is gone, unbound or stands still, and setting it going again.
// Must not know: handlers, messages.
// W1. The client's own heartbeats are not used: missed ones end processes (nats.node #649). Every `watchEveryMs`, and after each
//     reconnect, the server is asked instead; a question that fails is logged and asked again.
// W2. A consumer that is gone is created again, with its stream: the server lost its store, or somebody removed it.
// W3. A consumer that is not bound while we listen, or has work and room but delivered nothing to anybody since the last look
//     (nats-server #4112, #7680), gets a new subscription.

import type { ConsumerInfo, JetStreamManager } from "@nats-io/jetstream";
import type { Ms } from "../../ports/time.ts";
import type { DurableSubscription } from "./durable-subscription.ts";
import { type DurableWish, durableName, ensureDurable } from "./durables.ts";
import { findInApi } from "./jetstream-api.ts";
import type { NatsLink } from "./nats-link.ts";
import { SYS_STREAM } from "./streams.ts";

export interface WatchParts {
  readonly jsm: JetStreamManager;
  readonly link: NatsLink;
  readonly wish: DurableWish;
  readonly subscription: DurableSubscription;
  readonly everyMs: Ms;
  /** Makes sure that the stream is there. */
  restoreStream(): Promise<void>;
}

/** What one look saw. */
export interface Seen {
  readonly isBound: boolean;
  readonly waiting: number;
  readonly inHand: number;
  readonly inHandMax: number;
  readonly delivered: number;
}

/** Watches until the subscription drains. */
export async function watchDurable(parts: WatchParts): Promise<void> {
  const { link, subscription, wish } = parts;
  const { clock, log } = link.parts;
  let restored = new AbortController();
  const forget = link.listen({ lost: () => undefined, restored: () => restored.abort() });
  let before: Seen | undefined;
  while (!subscription.draining.aborted) {
    await clock.sleep(parts.everyMs, AbortSignal.any([restored.signal, subscription.draining]));
    restored = new AbortController();
    if (subscription.draining.aborted || !link.isConnected) continue;
    try {
      before = await look(parts, before);
    } catch (error) {
      log.error("bus.watch_failed", error, { consumer: durableName(wish.group, wish.subject) });
    }
  }
  forget();
}

async function look(parts: WatchParts, before: Seen | undefined): Promise<Seen | undefined> {
  const { jsm, link, wish, subscription } = parts;
  const consumer = durableName(wish.group, wish.subject);
  const info = await findInApi(`reading the consumer ${consumer}`, () => jsm.consumers.info(SYS_STREAM, consumer));
  if (info !== undefined) {
    const now = seenIn(info);
    const wrong = whatIsWrong(before, now);
    if (wrong === undefined) return now;
    link.parts.log.warn("bus.durable_stalled", { consumer, wrong, waiting: now.waiting, inHand: now.inHand });
  } else {
    link.parts.log.warn("bus.durable_gone", { consumer });
    await parts.restoreStream();
  }
  await subscription.enter(await ensureDurable(jsm, wish, link.parts.log));
  return undefined;
}

function seenIn(info: ConsumerInfo): Seen {
  return {
    isBound: info.push_bound === true,
    waiting: info.num_pending,
    inHand: info.num_ack_pending,
    inHandMax: info.config.max_ack_pending ?? 0,
    delivered: info.delivered.consumer_seq,
  };
}

/** Pure. undefined when the consumer is well. */
export function whatIsWrong(before: Seen | undefined, now: Seen): "unbound" | "still" | undefined {
  if (!now.isBound) return "unbound";
  const hasWorkAndRoom = now.waiting > 0 && now.inHand < now.inHandMax;
  return hasWorkAndRoom && before?.delivered === now.delivered && before.waiting > 0 ? "still" : undefined;
}
