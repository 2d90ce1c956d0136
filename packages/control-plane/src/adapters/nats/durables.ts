// Durable consumers: names, settings, adoption.
// Owns:          what a consumer of ours looks like, and which existing one may be used.
// Must not know: handlers, messages.
// D1. Names are the original's: `dur_<group>__<subject>`. A second durable on the same stream would get everything again (B2).
// D2. Push with a deliver group, explicit acks. No heartbeats and no flow control: in a group only one member would see them, they
//     cannot be added in place, and the original's have none. A watch of our own does their work (durable-watch.ts).
// D3. Deliveries are unlimited on the server: what is poison is decided by the subscription, which records it.
// D4. An existing durable is used, and changed in place where AckWait and the like differ. One of another kind is refused with the
//     command that removes it, since removing it loses its position.

import { AckPolicy, type ConsumerConfig, DeliverPolicy, type JetStreamManager } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { Fault } from "../../ports/fault.ts";
import type { Log } from "../../ports/telemetry.ts";
import type { Ms } from "../../ports/time.ts";
import { askApi, findInApi } from "./jetstream-api.ts";
import { SYS_STREAM } from "./streams.ts";

export interface DurableSettings {
  /** NATS_JS_ACK_WAIT: how long a member may keep a message without a word. */
  readonly ackWaitMs: Ms;
  /** NATS_MAX_ACK_PENDING: messages in the hands of all members together. */
  readonly ackPendingMax: number;
}
export interface DurableWish {
  readonly subject: string;
  readonly group: string;
  readonly settings: DurableSettings;
}
/** The parts of a consumer's configuration that decide whether it is ours. */
export type FoundDurable = Partial<ConsumerConfig>;
export type Fit =
  | { readonly kind: "fits" }
  | { readonly kind: "differs"; readonly change: Partial<ConsumerConfig> }
  | { readonly kind: "refused"; readonly why: string };

export function durableName(group: string, subject: string): string {
  return `dur_${nameOf(group)}__${nameOf(subject)}`;
}

function nameOf(part: string): string {
  return part.replaceAll(".", "_").replaceAll("*", "STAR").replaceAll(">", "GT");
}

/** Creates, adopts or refuses. Returns the subject that messages come on. Rejects with BUS_MISCONFIGURED or BUS_UNAVAILABLE. */
export async function ensureDurable(jsm: JetStreamManager, wish: DurableWish, log: Log): Promise<string> {
  const name = durableName(wish.group, wish.subject);
  const found = await findInApi(`reading the consumer ${name}`, () => jsm.consumers.info(SYS_STREAM, name));
  if (found === undefined) return await createDurable(jsm, name, wish);
  const fit = judgeDurable(found.config, wish);
  if (fit.kind === "refused") {
    throw new Fault(
      "BUS_MISCONFIGURED",
      `The consumer ${name} of the stream ${SYS_STREAM} ${fit.why}. ` +
        `Delete it with "nats consumer rm ${SYS_STREAM} ${name}": what is still in the stream will be delivered again.`,
    );
  }
  if (fit.kind === "differs") {
    await askApi(`changing the consumer ${name}`, () => jsm.consumers.update(SYS_STREAM, name, fit.change));
    log.warn("bus.durable_adopted", { consumer: name, changed: Object.keys(fit.change) });
  }
  return found.config.deliver_subject ?? deliverSubject(name);
}

/** Pure. */
export function judgeDurable(found: FoundDurable, { subject, group, settings }: DurableWish): Fit {
  if (found.deliver_subject === undefined) return refused("is a pull consumer, ours are push consumers");
  if (found.deliver_group !== group) {
    return refused(`delivers to ${found.deliver_group ?? "no group"} instead of the group ${group}`);
  }
  const filters = found.filter_subjects ?? [found.filter_subject ?? ""];
  if (filters.length !== 1 || filters[0] !== subject)
    return refused(`filters ${filters.join(", ")} instead of ${subject}`);
  if (found.ack_policy !== AckPolicy.Explicit)
    return refused(`acknowledges by ${found.ack_policy} instead of explicitly`);
  if (found.flow_control === true || (found.idle_heartbeat ?? 0) > 0) {
    return refused("has heartbeats or flow control, which a group cannot have");
  }
  const wanted = changeable(settings);
  const differs = (Object.keys(wanted) as (keyof typeof wanted)[]).some(
    (key) => (found[key] ?? DEFAULTS[key]) !== wanted[key],
  );
  const hasBackoff = (found.backoff ?? []).length > 0;
  if (!differs && !hasBackoff) return { kind: "fits" };
  return { kind: "differs", change: { ...wanted, ...(hasBackoff ? { backoff: [] } : {}) } };
}

const DEFAULTS = { ack_wait: 30_000_000_000, max_ack_pending: 1_000, max_deliver: -1, headers_only: false } as const;

function changeable(settings: DurableSettings) {
  return {
    ack_wait: nanos(settings.ackWaitMs),
    max_ack_pending: settings.ackPendingMax,
    max_deliver: -1,
    headers_only: false,
  } satisfies Partial<ConsumerConfig>;
}

async function createDurable(jsm: JetStreamManager, name: string, wish: DurableWish): Promise<string> {
  const deliver = deliverSubject(name);
  const { headers_only: _, ...settings } = changeable(wish.settings);
  // Members that start together create the same consumer: the same subject for all of them makes that one consumer.
  await askApi(`creating the consumer ${name}`, () =>
    jsm.consumers.add(SYS_STREAM, {
      ...settings,
      durable_name: name,
      deliver_subject: deliver,
      deliver_group: wish.group,
      deliver_policy: DeliverPolicy.All,
      ack_policy: AckPolicy.Explicit,
      filter_subject: wish.subject,
    }),
  );
  return deliver;
}

function deliverSubject(name: string): string {
  return `_INBOX.cordum.${name}`;
}

function refused(why: string): Fit {
  return { kind: "refused", why };
}
