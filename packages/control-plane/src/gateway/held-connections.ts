// Connections that outlive their request: streams to clients, sockets of workers.
// Owns:          how many a credential and the process may hold, that their credential is looked at again, that a drain ends them first.
// Must not know: what flows through them, which transport they use.
// N1. Every connection that outlives its request is held here from before its first byte until its last; there is no other way to keep one.
// N2. A credential that has expired or was revoked ends its connections within `recheckMs`, twice over if the check itself is slow.
// N3. Once endAll was called nothing is held any more. N4. What `end` does is the connection's business; who waits for it has a deadline.

import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import type { Meter } from "../ports/telemetry.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import type { Caller, Identity } from "./identity.ts";

export const HELD_KINDS = ["stream", "worker"] as const;
export type HeldKind = (typeof HELD_KINDS)[number];
/** `closing`: at once, nobody waits. */
export type EndCause = "draining" | "credential_ended" | "closing";

export interface Holding {
  readonly kind: HeldKind;
  readonly caller: Caller;
  /** Counts instead of the key where there is none. */
  readonly address: string;
  /** Says why, and ends; resolves when it has ended. Ends without a word once `deadline` fires. Never rejects. */
  end(cause: EndCause, deadline: AbortSignal): Promise<void>;
}

export interface HoldLimits {
  readonly ofKeyMax: number;
  readonly max: number;
}

export interface HeldSettings {
  readonly recheckMs: Ms;
  readonly limits: { readonly [kind in HeldKind]: HoldLimits };
}

export const DEFAULT_HELD_SETTINGS: HeldSettings = {
  recheckMs: 20_000,
  limits: { stream: { ofKeyMax: 100, max: 2_000 }, worker: { ofKeyMax: 1_000, max: 1_000 } },
};

export interface HeldParts {
  readonly clock: Clock;
  readonly meter: Meter;
  readonly auth: { stillValid(identity: Identity, now: EpochMs): Promise<boolean> };
}

const REVOKE_MS = 5_000;

export class HeldConnections {
  readonly #parts: HeldParts;
  readonly #settings: HeldSettings;
  readonly #held = new Set<Holding>();
  readonly #counts = new Map<string, number>();
  #isEnding = false;

  constructor(parts: HeldParts, settings: HeldSettings) {
    this.#parts = parts;
    this.#settings = settings;
  }

  count(kind: HeldKind): number {
    return this.#counts.get(kind) ?? 0;
  }

  /** Holds it until the function that this gives back is called. Faults: TOO_MANY_CONNECTIONS, SHUTTING_DOWN. */
  hold(holding: Holding): () => void {
    if (this.#isEnding) throw new Fault("SHUTTING_DOWN", "this process takes no new connections; another one will");
    const { kind } = holding;
    const { ofKeyMax, max } = this.#settings.limits[kind];
    const owner = ownerOf(holding);
    if (this.count(kind) >= max) throw new Fault("TOO_MANY_CONNECTIONS", `this process holds ${max} ${kind}s already`);
    if ((this.#counts.get(owner) ?? 0) >= ofKeyMax)
      throw new Fault("TOO_MANY_CONNECTIONS", `the key has ${ofKeyMax} ${kind}s open already; close one of them`);
    this.#held.add(holding);
    for (const name of [kind, owner]) this.#change(name, 1);
    return () => {
      if (!this.#held.delete(holding)) return;
      for (const name of [kind, owner]) this.#change(name, -1);
    };
  }

  /** Looks at credentials again and again, until `signal` fires. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    while (await clock.sleep(this.#settings.recheckMs, signal)) await this.#recheck(signal);
  }

  /** Ends everything; resolves when all has ended, at the latest soon after `deadline` fires. */
  async endAll(cause: EndCause, deadline: AbortSignal): Promise<void> {
    this.#isEnding = true;
    await Promise.all([...this.#held].map((holding) => holding.end(cause, deadline)));
  }

  async #recheck(signal: AbortSignal): Promise<void> {
    const { auth, clock, meter } = this.#parts;
    const byCredential = Map.groupBy(
      this.#held,
      ({ caller: { identity } }) => `${identity.keyId} ${identity.secretId}`,
    );
    for (const holdings of byCredential.values()) {
      const identity = holdings[0]?.caller.identity;
      if (identity === undefined || signal.aborted) return;
      const isValid = await auth.stillValid(identity, clock.now());
      meter.count("cordum_gateway_ws_revalidation_total", { outcome: isValid ? "valid" : "ended" });
      if (isValid) continue;
      const deadline = clock.deadline(signal, REVOKE_MS);
      void Promise.all(holdings.map((holding) => holding.end("credential_ended", deadline)));
    }
  }

  #change(name: string, by: number): void {
    const next = (this.#counts.get(name) ?? 0) + by;
    if (next === 0) this.#counts.delete(name);
    else this.#counts.set(name, next);
  }
}

function ownerOf({ kind, caller, address }: Holding): string {
  const { keyId } = caller.identity;
  return keyId === "" ? `${kind} at ${address}` : `${kind} of ${keyId}`;
}
