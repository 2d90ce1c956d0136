// Putting signatures between the control plane and its bus, as the configuration says.
// Owns:          reading the keys, following their files, choosing whether there is anything to do at all.
// Must not know: packets, what a judgement is.

import { KeyRing } from "../adapters/signed/key-ring.ts";
import { signedBus } from "../adapters/signed/signed-bus.ts";
import type { Bus } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log, Meter } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import type { SigningConfig } from "./configuration.ts";
import { followFile } from "./followed-file.ts";

export interface SigningParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** How long records of finished jobs are kept. */
  readonly jobKeepMs: Ms;
}

/** The bus itself when nothing is signed and nothing verified. Throws a sentence for the operator when a key cannot be used. Follows the
 *  files until `signal` fires. */
export async function openSigning(config: SigningConfig, parts: SigningParts, signal: AbortSignal): Promise<Bus> {
  const { keyPath, trustedPath, verify, reloadIntervalMs: intervalMs } = config;
  const { log, jobKeepMs } = parts;
  if (verify === "off" && trustedPath !== undefined)
    log.warn("signatures.not_verified", { setting: "CORDUM_VERIFY_SIGNATURES", reason: "it is off" });
  if (verify === "off" && keyPath === undefined) return parts.bus;
  const keys = new KeyRing();
  if (keyPath !== undefined) {
    const use = (text: string): readonly string[] => keys.useSigningKey(text);
    await followFile({ setting: "CORDUM_SIGNING_KEY_PATH", path: keyPath, intervalMs, use }, parts, signal);
  }
  if (verify !== "off" && trustedPath !== undefined) {
    const use = (text: string): readonly string[] => keys.useTrustedSenders(text);
    await followFile({ setting: "CORDUM_VERIFY_KEYS_PATH", path: trustedPath, intervalMs, use }, parts, signal);
  }
  log.info("signatures.ready", { signs: keyPath !== undefined, verify, trustedSenders: keys.trustedSenders });
  return signedBus({ ...parts, keys, verify, submitAgeMaxMs: jobKeepMs });
}
