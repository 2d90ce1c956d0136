// Opening NATS for Bus.
// Owns:          the settings with their defaults; the order of opening: connect, look at the streams, refuse or begin.
// Must not know: environment variables (services read them).
// X1. No silent fallback: JetStream that is asked for and not there refuses the start.
// X2. A wiretap, ours or anybody's, on `job.>` or `worker.>` makes every delivery look heard. Streams are looked for here; a plain
//     subscription of somebody else cannot be seen, and costs latency, not jobs: the alarm of a job finds that no worker took it.
// X3. A core bus on a server without JetStream, or with credentials that may not ask for streams, starts: there the look is a courtesy.

import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { Clock } from "../../ports/clock.ts";
import { Fault, messageOf } from "../../ports/fault.ts";
import type { Log } from "../../ports/telemetry.ts";
import type { Ms } from "../../ports/time.ts";
import { type NatsEndpoint, parseNatsEndpoint } from "./endpoint.ts";
import { Inbox } from "./inbox.ts";
import { CordumNatsBus, type Durability, type NatsBus, type NatsBusParts } from "./nats-bus.ts";
import { type LinkSettings, NatsLink } from "./nats-link.ts";
import { arrangeStreams, type StreamSettings } from "./streams.ts";

export interface NatsBusOptions extends NatsEndpoint {
  readonly mode: "core" | "jetstream";
  /** Narrow the original's streams in place instead of refusing to start; default false. */
  readonly adoptStreams?: boolean;
  readonly stream?: {
    /** NATS_JS_ACK_WAIT; default 30 s. Waiting messages are renewed, so it is the time after which those of a dead process come again. */
    readonly ackWaitMs?: Ms;
    /** NATS_MAX_ACK_PENDING, 1 to 50,000; default 2,048. */
    readonly ackPendingMax?: number;
    /** NATS_JS_MAX_AGE; 168 h for a new stream. An existing stream is changed only when this is given. */
    readonly ageMaxMs?: Ms;
    /** NATS_JS_REPLICAS, 1 to 5; 1 for a new stream. As above. */
    readonly replicas?: number;
  };
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<NatsBusParts["limits"]> & Partial<LinkSettings> & { readonly watchEveryMs?: Ms };
}

const LINK_DEFAULTS: LinkSettings = { connectMsMax: 5_000, callMsMax: 5_000, pingEveryMs: 10_000 };
const LIMIT_DEFAULTS: NatsBusParts["limits"] = {
  waitingMax: 65_536,
  waitingBytesMax: 67_108_864,
  outgoingMax: 65_536,
  outgoingBytesMax: 67_108_864,
};
const WATCH_EVERY_MS = 30_000;
const ACK_WAIT_MS = 30_000;
const ACK_PENDING_MAX = 2_048;

/** Connects and checks. Rejects with BUS_UNAVAILABLE when nobody answers, and with BUS_MISCONFIGURED and a sentence that says what to do. */
export async function openNatsBus(options: NatsBusOptions): Promise<NatsBus> {
  const { clock, log, limits = {} } = options;
  requireStreamSettings(options.stream ?? {});
  const entrance = await parseNatsEndpoint(options);
  const link = await NatsLink.open(entrance, { clock, log, settings: { ...LINK_DEFAULTS, ...limits } });
  try {
    const jsm = await jetstreamManager(link.connection, { timeout: link.parts.settings.callMsMax, checkAPI: false });
    const inbox = await Inbox.open(link);
    const durability = options.mode === "jetstream" ? await openDurability(jsm, options) : undefined;
    if (durability === undefined) await lookAtStreams(jsm, options);
    return new CordumNatsBus({ link, inbox, durability, limits: { ...LIMIT_DEFAULTS, ...limits } });
  } catch (error) {
    await link.close(AbortSignal.abort());
    throw error;
  }
}

async function openDurability(jsm: JetStreamManager, options: NatsBusOptions): Promise<Durability> {
  const { log, stream = {}, limits = {} } = options;
  try {
    await jsm.getAccountInfo();
  } catch (cause) {
    throw new Fault(
      "BUS_MISCONFIGURED",
      "JetStream is asked for, but the NATS server does not offer it to this user. Start nats-server with --jetstream " +
        "(and enable it for the account), or set NATS_USE_JETSTREAM=false to do without kept messages.",
      { cause },
    );
  }
  const settings = streamSettings(options);
  await arrangeStreams(jsm, { wanted: true, settings, log });
  return {
    jsm,
    settings: { ackWaitMs: stream.ackWaitMs ?? ACK_WAIT_MS, ackPendingMax: stream.ackPendingMax ?? ACK_PENDING_MAX },
    watchEveryMs: limits.watchEveryMs ?? WATCH_EVERY_MS,
    restoreStream: () => arrangeStreams(jsm, { wanted: true, settings, log }),
  };
}

/** Without JetStream there is no stream in the way. */
async function lookAtStreams(jsm: JetStreamManager, options: NatsBusOptions): Promise<void> {
  const { log } = options;
  try {
    await jsm.getAccountInfo();
  } catch (error) {
    log.debug("bus.streams_not_seen", { reason: messageOf(error) });
    return;
  }
  await arrangeStreams(jsm, { wanted: false, settings: streamSettings(options), log });
}

function streamSettings({ adoptStreams = false, stream = {} }: NatsBusOptions): StreamSettings {
  return {
    adopt: adoptStreams,
    ...(stream.ageMaxMs === undefined ? {} : { ageMaxMs: stream.ageMaxMs }),
    ...(stream.replicas === undefined ? {} : { replicas: stream.replicas }),
  };
}

function requireStreamSettings(stream: NonNullable<NatsBusOptions["stream"]>): void {
  const ranges = [
    ["NATS_JS_ACK_WAIT (ms)", stream.ackWaitMs, 100, 86_400_000],
    ["NATS_MAX_ACK_PENDING", stream.ackPendingMax, 1, 50_000],
    ["NATS_JS_MAX_AGE (ms)", stream.ageMaxMs, 1_000, 315_360_000_000],
    ["NATS_JS_REPLICAS", stream.replicas, 1, 5],
  ] as const;
  for (const [name, value, min, max] of ranges) {
    if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) continue;
    throw new Fault("BUS_MISCONFIGURED", `${name} is ${value}; choose a whole number from ${min} to ${max}`);
  }
}
