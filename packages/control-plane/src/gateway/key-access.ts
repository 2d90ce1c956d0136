// All that a process with an API needs about keys: who comes in, and managing them.
// Owns:          putting together what is configured, what is known of managed keys, their news and their last use.
// Must not know: which adapters stand behind the ports, HTTP.

import { listenForKeys } from "../keys/key-news.ts";
import { KnownKeys } from "../keys/known-keys.ts";
import { LastUse } from "../keys/last-use.ts";
import { type ManageParts, openKeys } from "../keys/manage.ts";
import type { Bus, Subscription } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import type { State } from "../ports/state.ts";
import type { Log } from "../ports/telemetry.ts";
import type { ApiKey } from "./api-keys.ts";
import { type Auth, createAuth, entryOfKey, type KeyEntry } from "./auth.ts";

export interface KeyAccess {
  readonly auth: Auth;
  readonly keys: ManageParts;
  /** Hears of changes, and writes down now and then what was used. */
  start(): Promise<void>;
  /** News may have been missed. */
  doubt(): void;
  /** Hears no more, and writes what is left to write. */
  settle(deadline: AbortSignal): Promise<void>;
}

export interface KeyAccessPorts {
  readonly state: State;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ConfiguredAccess {
  readonly configured: readonly ApiKey[];
  readonly openTenant: string;
  /** Everybody is an admin of `openTenant`. */
  readonly isOpen: boolean;
}

export function createKeyAccess(ports: KeyAccessPorts, access: ConfiguredAccess): KeyAccess {
  const { state, bus, clock, log } = ports;
  const life = new AbortController();
  const store = openKeys(state, clock);
  const known = new KnownKeys<KeyEntry>({ keys: store, clock, log }, entryOfKey, life.signal);
  const uses = new LastUse({ state, clock, log });
  const managed = { known, note: (keyId: string, at: number) => uses.note(keyId, at) };
  const { configured, openTenant, isOpen } = access;
  let subscription: Subscription | undefined;
  let running: Promise<void> = Promise.resolve();
  return {
    auth: createAuth(configured, openTenant, { managed, isOpen }),
    keys: { state, bus, clock, log, keys: store, forget: (keyId) => known.forget(keyId) },
    async start() {
      subscription = await listenForKeys(bus, (keyId) => known.forget(keyId));
      running = uses.run(life.signal);
    },
    doubt: () => known.doubt(),
    async settle(deadline) {
      await subscription?.drain(deadline);
      life.abort();
      await running;
      await uses.flush(deadline);
    },
  };
}
