// A stage for signed packets: the signing bus over the bus of one process and a virtual clock.
// Owns:          what tests of signatures share: both sides of the bus, what handlers heard, what was said.
// Must not know: single tests.

import { inProcessBus } from "../adapters/inprocess/bus.ts";
import { KeyRing } from "../adapters/signed/key-ring.ts";
import { signedBus, type VerifyMode } from "../adapters/signed/signed-bus.ts";
import { type VirtualClock, virtualClock } from "../adapters/system/virtual-clock.ts";
import type { Bus } from "../ports/bus.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { type Notebook, notebook, recording, type Sent } from "./scene-ports.ts";

export interface SignedStage extends Notebook {
  readonly clock: VirtualClock;
  /** Where strangers and workers are. */
  readonly wire: Bus;
  /** Where the control plane is. */
  readonly bus: Bus;
  readonly keys: KeyRing;
  /** Everything that reached the wire. */
  readonly sent: readonly Sent[];
  /** Lets everything settle that needs no time. */
  quiet(): Promise<void>;
  /** Whether the handler of `subject`, in a group, is shown the packet. */
  isHeard(subject: string, bytes: Uint8Array): Promise<boolean>;
}

export interface SignedStageOptions {
  readonly verify: VerifyMode;
  readonly signingPem?: string;
  readonly trusted?: Readonly<Record<string, readonly string[] | "unsigned">>;
  readonly startAt?: EpochMs;
  readonly submitAgeMaxMs?: Ms;
}

const NEVER = new AbortController().signal;

export function openSignedStage(options: SignedStageOptions): SignedStage {
  const { verify, signingPem, trusted, startAt, submitAgeMaxMs = 7 * 86_400_000 } = options;
  const clock = virtualClock(startAt === undefined ? {} : { startAt });
  const notes = notebook();
  const sent: Sent[] = [];
  const keys = new KeyRing();
  const faults = [
    ...(signingPem === undefined ? [] : keys.useSigningKey(signingPem)),
    ...(trusted === undefined ? [] : keys.useTrustedSenders(JSON.stringify(trusted))),
  ];
  if (faults.length > 0) throw new Error(faults.join("; "));
  const wire = recording(inProcessBus({ clock, log: notes.log }), sent);
  const bus = signedBus({ bus: wire, keys, verify, submitAgeMaxMs, clock, log: notes.log, meter: notes.meter });
  const quiet = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) await clock.advance(0);
  };
  return {
    ...notes,
    clock,
    wire,
    bus,
    keys,
    sent,
    quiet,
    async isHeard(subject, bytes) {
      let isHeard = false;
      const subscription = await bus.subscribe({ subject, group: "g", keep: false, inFlightMax: 1 }, async () => {
        isHeard = true;
        return { kind: "ack" };
      });
      await wire.publish(subject, bytes, NEVER);
      await quiet();
      await subscription.drain(AbortSignal.abort());
      return isHeard;
    },
  };
}
