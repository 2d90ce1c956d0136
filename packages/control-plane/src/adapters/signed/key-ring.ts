// The keys of a process: its own to sign with, and those of others to verify by.
// Owns:          which keys count now; changing them while packets come in.
// Must not know: files, settings, packets.
// K1. What cannot be used changes nothing: the keys in force stay in force.
// K2. Whoever holds our signing key is we: its public half counts for every name of the control plane, beside the keys that the file of
//     trusted senders lists for these names (those of processes with another key).
// K3. The key before the present one still counts, for packets that were under way when it was changed; no earlier one does.

import { createPublicKey } from "node:crypto";
import { parseSigningKey, parseVerifyingKey, type SigningKey, type VerifyingKey } from "@cordum/protocol";
import { assert } from "../../ports/fault.ts";
import { CONTROL_PLANE, parseTrustedSenders, type SenderKeys } from "./trusted-senders.ts";

type Faults = readonly string[];
const NO_FAULTS: Faults = [];

export class KeyRing {
  #signing: SigningKey | undefined;
  /** Ours, the present one first. */
  #own: readonly VerifyingKey[] = [];
  #trusted: ReadonlyMap<string, SenderKeys> = new Map();
  #known: ReadonlyMap<string, SenderKeys> = new Map();

  /** Undefined: we do not sign. */
  get signingKey(): SigningKey | undefined {
    return this.#signing;
  }

  /** Senders of the file. */
  get trustedSenders(): number {
    return this.#trusted.size;
  }

  /** Undefined: a sender that nobody vouches for. */
  keysOf(senderId: string): SenderKeys | undefined {
    return this.#known.get(senderId);
  }

  /** Signs with another key from now on. PEM: PKCS#8 or SEC 1, P-256. What is wrong with it, or nothing. */
  useSigningKey(pem: string): Faults {
    const parsed = parseSigningKey(pem);
    if (parsed.kind === "refused")
      return [parsed.reason === "not_p256" ? "the key is not on the curve P-256" : "expected a private key in PEM"];
    this.#signing = parsed.key;
    this.#own = [publicHalf(parsed.key), ...this.#own.slice(0, 1)];
    this.#known = this.#join();
    return NO_FAULTS;
  }

  /** Trusts the senders of a file, and no others, from now on. What is wrong with it, or nothing. */
  useTrustedSenders(text: string): Faults {
    const parsed = parseTrustedSenders(text);
    if (parsed.kind === "invalid") return parsed.faults;
    this.#trusted = parsed.senders;
    this.#known = this.#join();
    return NO_FAULTS;
  }

  #join(): ReadonlyMap<string, SenderKeys> {
    const known = new Map(this.#trusted);
    if (this.#own.length === 0) return known;
    for (const senderId of CONTROL_PLANE) {
      const others = this.#trusted.get(senderId) ?? [];
      assert(others !== "unsigned", "a part of the control plane signs", { senderId });
      known.set(senderId, [...this.#own, ...others]);
    }
    return known;
  }
}

function publicHalf(key: SigningKey): VerifyingKey {
  const parsed = parseVerifyingKey(createPublicKey(key).export({ type: "spki", format: "pem" }).toString());
  assert(parsed.kind === "key", "the public half of a readable key is readable");
  return parsed.key;
}
