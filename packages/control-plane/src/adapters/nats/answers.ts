// Questions that this process answers.
// Owns:          a queue group per subject, so that one replica answers each question; the limit of answers under way.
// Must not know: what is asked.
// A1. Above the limit questions are not answered and counted in the log: who asks has a timeout and asks another replica.

import type { Msg } from "@nats-io/transport-node";
import type { Subject, Subscription } from "../../ports/bus.ts";
import type { NatsLink } from "./nats-link.ts";
import { bytesOf } from "./payload-bytes.ts";
import { unlessAborted } from "./until.ts";

const GROUP = "cordum-answers";
const UNDER_WAY_MAX = 1_024;
const LOG_EVERY = 1_000;

type Reply = (bytes: Uint8Array) => Promise<Uint8Array>;

/** Resolves when the server has the subscription. */
export async function answerOn(subject: Subject, reply: Reply, link: NatsLink): Promise<Subscription> {
  const underWay = new Set<Promise<void>>();
  let overflowed = 0;
  const accept = (message: Msg): void => {
    if (underWay.size >= UNDER_WAY_MAX) {
      if (overflowed++ % LOG_EVERY === 0) link.parts.log.warn("bus.questions_dropped", { subject, total: overflowed });
      return;
    }
    const answering: Promise<void> = respond(message, reply, link).finally(() => underWay.delete(answering));
    underWay.add(answering);
  };
  const subscription = await link.subscribe(subject, GROUP, accept);
  return {
    async drain(signal) {
      if (!subscription.isClosed() && !link.closing.aborted) {
        await unlessAborted(subscription.drain(), signal, `leaving ${subject}`).catch((error: unknown) =>
          link.parts.log.error("bus.subscription_not_left", error, { subject }),
        );
      }
      await unlessAborted(Promise.all(underWay), signal, `answers on ${subject}`).catch((error: unknown) =>
        link.parts.log.error("bus.answers_given_up", error, { subject, questions: underWay.size }),
      );
    },
  };
}

async function respond(message: Msg, reply: Reply, link: NatsLink): Promise<void> {
  const { subject, reply: inbox } = message;
  try {
    const answer = await reply(bytesOf(message));
    if (inbox !== undefined && inbox !== "") link.send(inbox, answer);
  } catch (error) {
    link.parts.log.error("bus.answer_failed", error, { subject });
  }
}
