// The bus of a control plane that is one process.
// Owns:          subscriptions and the way of a message to them.
// Must not know: what is in a packet.
// B1 to B5 are the port's (ports/bus.ts). Besides:
// I1. Handlers never run inside the call that publishes: they start in a later turn of the event loop.
// I2. Bytes are handed over, not copied: neither the publisher nor a handler may change them afterwards.
// I3. A subscription holds `waitingMax` messages; a publish that finds no room is BUS_UNAVAILABLE and reaches nobody, so the
//     publisher's own repetition (an alarm, a client) carries it. Nothing is dropped without a word.
// I4. `keep` asks for nothing here: publisher and subscriber live and die together, and what must survive is in State.

import type { Bus, BusTraits, Handle, Subject, SubscriptionSpec } from "../../ports/bus.ts";
import type { Clock } from "../../ports/clock.ts";
import { Fault } from "../../ports/fault.ts";
import type { Log } from "../../ports/telemetry.ts";
import { Mailbox } from "../bus/mailbox.ts";
import { parsePattern } from "../bus/subject.ts";
import { type NextTurn, nextTurn as systemTurn } from "../system/turn.ts";
import { type Member, Routes } from "./route.ts";

export interface InProcessBusOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Messages that wait for one subscription; default 65,536. */
  readonly waitingMax?: number;
  readonly packetBytesMax?: number;
  /** How handlers get out of the publisher's call; a simulation has its own. */
  readonly nextTurn?: NextTurn;
}

export interface InProcessBus extends Bus {
  /** Asks who answers on `subject`, as a client of a network bus would. Rejects with BUS_UNAVAILABLE when nobody does. */
  ask(subject: Subject, bytes: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
}

interface Subscriber extends Member {
  readonly mailbox: Mailbox;
}
type Answerer = Member & { readonly reply: (bytes: Uint8Array) => Promise<Uint8Array> };

const WAITING_MAX = 65_536;
const PACKET_BYTES_MAX = 1_048_576;
/** Answers of one process under way at once. */
const ANSWERS_MAX = 1_024;
const ACCEPTED = Promise.resolve();
const HEARD = Promise.resolve("heard" as const);
const NOBODY = Promise.resolve("nobody" as const);

export function inProcessBus(options: InProcessBusOptions): InProcessBus {
  const traits: BusTraits = {
    keepsMessages: false,
    shared: false,
    packetBytesMax: options.packetBytesMax ?? PACKET_BYTES_MAX,
  };
  const routes = new Routes<Subscriber>();
  let closed = false;

  const send = (subject: Subject, bytes: Uint8Array, signal: AbortSignal): number => {
    if (closed) throw new Fault("BUS_UNAVAILABLE", "the bus is closed");
    if (signal.aborted)
      throw new Fault("BUS_UNAVAILABLE", `publish to ${subject} was given up`, { cause: signal.reason });
    if (bytes.byteLength > traits.packetBytesMax) {
      throw new Fault(
        "PAYLOAD_TOO_LARGE",
        `a packet may have ${traits.packetBytesMax} bytes, this one has ${bytes.byteLength}`,
      );
    }
    const chosen = routes.choose(subject);
    if (chosen === undefined) throw new Fault("BUS_UNAVAILABLE", `a subscriber of ${subject} has no room`);
    for (const { mailbox } of chosen) mailbox.accept(subject, bytes);
    return chosen.length;
  };
  const publish: Bus["publish"] = (subject, bytes, signal) => {
    send(subject, bytes, signal);
    return ACCEPTED;
  };
  const deliver: Bus["deliver"] = (subject, bytes, signal) => (send(subject, bytes, signal) > 0 ? HEARD : NOBODY);
  const subscribe: Bus["subscribe"] = async (spec, handle) => {
    if (closed) throw new Fault("BUS_UNAVAILABLE", "the bus is closed");
    const subscriber = createSubscriber(spec, handle, options);
    routes.add(subscriber);
    return {
      drain: (signal) => {
        routes.remove(subscriber);
        return subscriber.mailbox.drain(signal);
      },
    };
  };

  return {
    traits,
    publish: (subject, bytes, signal) => rejecting(() => publish(subject, bytes, signal)),
    deliver: (subject, bytes, signal) => rejecting(() => deliver(subject, bytes, signal)),
    subscribe,
    ...answering(subscribe),
    status: () => ({ connected: !closed, reconnects: 0 }),
    async drain(signal) {
      const members = [...routes.members];
      for (const member of members) routes.remove(member);
      await Promise.all(members.map(({ mailbox }) => mailbox.drain(signal))); // handlers may publish until the last has ended
      closed = true;
    },
  };
}

function createSubscriber(spec: SubscriptionSpec, handle: Handle, options: InProcessBusOptions): Subscriber {
  const { clock, log, waitingMax = WAITING_MAX, nextTurn = systemTurn } = options;
  const mailbox = new Mailbox({ spec, handle, waitingMax, clock, log, nextTurn });
  return {
    pattern: parsePattern(spec.subject),
    group: spec.group,
    mailbox,
    get isFull() {
      return mailbox.isFull;
    },
  };
}

function answering(subscribe: Bus["subscribe"]): Pick<InProcessBus, "answer" | "ask"> {
  const answerers = new Routes<Answerer>();
  return {
    async answer(subject, reply) {
      const spec = { subject, group: "answer", keep: false, inFlightMax: ANSWERS_MAX };
      const heard = await subscribe(spec, async (bytes) => {
        await reply(bytes); // asked without an inbox: the work is done, the answer goes nowhere
        return { kind: "ack" };
      });
      const answerer: Answerer = { pattern: parsePattern(subject), group: "answer", isFull: false, reply };
      answerers.add(answerer);
      return {
        drain: (signal) => {
          answerers.remove(answerer);
          return heard.drain(signal);
        },
      };
    },
    async ask(subject, bytes, signal) {
      const answerer = answerers.choose(subject)?.[0];
      if (signal.aborted || answerer === undefined) throw new Fault("BUS_UNAVAILABLE", `nobody answers on ${subject}`);
      return answerer.reply(bytes);
    },
  };
}

/** What `work` throws becomes a rejection: a port's caller awaits, it does not catch twice. */
function rejecting<T>(work: () => Promise<T>): Promise<T> {
  try {
    return work();
  } catch (error) {
    return Promise.reject(error);
  }
}
